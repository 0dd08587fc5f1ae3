"""``POST /generate``, as the clients of text-generation-inference ask it, and ``POST /score``: how likely texts are.

Source: text-generation-inference, ``router/src/lib.rs`` (GenerateParameters, GenerateResponse).
Differs: keys that nothing is done with are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from yanmo.runtimes.generating.decoding import Decoding
from yanmo.serving.bodies import decode_body
from yanmo.serving.exchange import Reply, RouteCall, json_reply
from yanmo.serving.problems import Problem
from yanmo.serving.writing.asking import begin_texts, read_pieces, read_prompt, wish
from yanmo.serving.writing.schemas import (
    GenerateBody,
    GeneratedText,
    GenerateParameters,
    SamplingBody,
    ScoreBody,
    TextScore,
    TextScores,
)

__all__ = ["generate_text", "score_texts"]

MAX_TOKENS = 100
"""What text-generation-inference writes where nothing is said."""


async def generate_text(call: RouteCall) -> Reply:
    """Write a text behind a prompt.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the text any more.
    """
    body = await decode_body(call, GenerateBody)
    call.service.check_loaded()
    model = call.service.find_writer(None)
    options = body.parameters or GenerateParameters()
    # As there: who gives nothing that is about drawing, gets the likeliest tokens.
    draws = options.do_sample or any(one is not None for one in (options.temperature, options.top_k, options.top_p))
    sampling = SamplingBody(
        temperature=(options.temperature or 1.0) if draws else 0.0,
        top_k=options.top_k,
        top_p=options.top_p,
        repetition_penalty=options.repetition_penalty,
        frequency_penalty=options.frequency_penalty,
        seed=options.seed,
        stop=options.stop,
    )
    prompt = read_prompt(model, body.inputs, options.truncate)
    limit = options.max_new_tokens or MAX_TOKENS
    ticket = begin_texts(model, [prompt], wish(sampling, model, num_top=0), num_texts=1, max_tokens=limit)
    text = "".join([piece.text async for piece in read_pieces(call, model, ticket)])
    return json_reply(GeneratedText(body.inputs + text if options.return_full_text else text))


async def score_texts(call: RouteCall) -> Reply:
    """Say how likely texts are, from their beginnings on.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the scores any more.
    """
    body = await decode_body(call, ScoreBody)
    call.service.check_loaded()
    model = call.service.find_writer(body.model)
    if len(body.texts) > model.config.max_texts:
        raise Problem("too_many_texts", "'texts' must have at most {most} texts.", most=model.config.max_texts)
    prompts = [read_prompt(model, text, None) for text in body.texts]
    ticket = begin_texts(model, prompts, (Decoding(), (), None), num_texts=1, max_tokens=0, wants_prompt=True)
    likelihoods: dict[int, Sequence[float]] = {}
    async for piece in read_pieces(call, model, ticket):
        if piece.row is not None:
            likelihoods[piece.number] = piece.row.prompt_likelihoods
    scores = [_score(text, likelihoods[place]) for place, text in enumerate(body.texts)]
    return json_reply(TextScores(scores, model.name, model.bundle.digest))


def _score(text: str, likelihoods: Sequence[float]) -> TextScore:
    total = math.fsum(likelihoods)
    return TextScore(total, len(likelihoods), -total / math.log(2) / len(text) if text else None)
