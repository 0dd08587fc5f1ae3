"""``POST /invocations``: what SageMaker, Vertex AI, MLflow and KServe v1 ask, told apart by the keys of the body.

``instances`` is Vertex AI and KServe v1, ``dataframe_split``, ``dataframe_records`` and an object as ``inputs`` are
MLflow; every other body is that of ``POST /predict``. It knows no model and no queue.

Source: Vertex AI, "Custom container requirements for prediction"; MLflow, "Local Inference Server Specification";
text-embeddings-inference, ``router/src/http/types.rs`` (VertexRequest, VertexResponse).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from yanmo.serving.exchange import JSON, Reply, RouteCall
from yanmo.serving.predict import ask_model, decode_asked, encode_answers
from yanmo.serving.problems import Problem
from yanmo.serving.requests import READS_ONE, Limits, Request, check_column, check_unique_keys, whole_count
from yanmo.serving.schemas import Answer, Count, LabelScore, PredictBody, Text

__all__ = [
    "Frame",
    "Instance",
    "InstanceScores",
    "InvocationBody",
    "InvocationOptions",
    "decode_invocation",
    "invocations",
]

COLUMNS = ("text", "text_b")


class Instance(msgspec.Struct, forbid_unknown_fields=True):
    """One text or pair.

    Attributes:
        text: The text.
        text_b: The second text of a pair.
        inputs: Instead of both: a text or a pair that is answered by scores, as by text-embeddings-inference.
    """

    text: str | UnsetType = UNSET
    text_b: str | UnsetType = UNSET
    inputs: str | list[str] | UnsetType = UNSET


class Frame(msgspec.Struct):
    """A table as pandas writes it in the orientation "split".

    Attributes:
        columns: text, and text_b for pairs; in a table with only as many columns as the model reads, any names.
        data: The rows.
    """

    columns: list[str]
    data: list[list[str]]


class InvocationOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The options of all texts, which mean what they mean in PredictBody."""

    top_k: Count | UnsetType = UNSET
    threshold: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    return_probabilities: bool | UnsetType = UNSET
    truncate: bool | UnsetType = UNSET


class InvocationBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked in the words of Vertex AI, KServe v1 or MLflow: one of the first four, perhaps with options.

    Attributes:
        instances: Texts, pairs, or objects of them.
        dataframe_split: A table in two parts.
        dataframe_records: A table as a list of rows, each by the names of its columns.
        inputs: A table as columns by their names.
        parameters: Options, as Vertex AI names them.
        params: Options, as MLflow names them.
        signature_name: Is not needed, and passed over.
    """

    instances: list[str | list[str] | Instance] | UnsetType = UNSET
    dataframe_split: Frame | UnsetType = UNSET
    dataframe_records: list[dict[str, str]] | UnsetType = UNSET
    inputs: dict[str, list[str]] | UnsetType = UNSET
    parameters: InvocationOptions | UnsetType = UNSET
    params: InvocationOptions | UnsetType = UNSET
    signature_name: str | UnsetType = UNSET


class InstanceScores(msgspec.Struct, frozen=True):
    """The answer to instances with inputs: the scores of each."""

    predictions: list[list[LabelScore]]


KEYS_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
DECODER = msgspec.json.Decoder(InvocationBody)


async def invocations(call: RouteCall) -> Reply:
    """Answer texts in the form in which they are asked.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    return await ask_model(call, await call.read_json(call.service.config.max_body_bytes), decode_invocation)


def decode_invocation(body: bytes, limits: Limits) -> Request:
    """Return the request that a body holds.

    Args:
        body: JSON in UTF-8.
        limits: What it may hold.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    try:
        keys = KEYS_DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return decode_asked(body, limits)  # which says what is wrong
    is_table = bytes(keys.get("inputs", b"")).lstrip().startswith(b"{")
    if not (is_table or keys.keys() & {"instances", "dataframe_split", "dataframe_records"}):
        return decode_asked(body, limits)
    try:
        parsed = DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Problem("wrong_type", "The body must be as InvocationBody in /docs says.") from None
    check_unique_keys(body)
    asked = (parsed.instances, parsed.dataframe_split, parsed.dataframe_records, parsed.inputs)
    if sum(one is not UNSET for one in asked) > 1:
        raise Problem("text_or_texts", "Give one of 'instances', 'dataframe_split', 'dataframe_records' and 'inputs'.")
    if UNSET not in (parsed.parameters, parsed.params):
        raise Problem("wrong_option", "Give 'parameters' or 'params'.")
    return _to_request(parsed, limits)


def _to_request(parsed: InvocationBody, limits: Limits) -> Request:
    rows, wants_scores = _rows(parsed, limits.num_columns)
    if any(len(row) != limits.num_columns for row in rows):
        raise Problem("wrong_pair", READS_ONE if limits.num_columns == 1 else "This model reads pairs at a time.")
    columns = [
        check_column([row[place] for row in rows], COLUMNS[place], limits) for place in range(limits.num_columns)
    ]
    texts: list[Text] = list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))
    given = parsed.params if parsed.parameters is UNSET else parsed.parameters
    options = PredictBody(**({} if given is UNSET else msgspec.structs.asdict(given)))
    options.top_k = whole_count(options.top_k)
    if wants_scores:
        options.inputs = ""
    return Request(texts, is_single=False, options=options, encode=_encode_scores if wants_scores else None)


def _rows(parsed: InvocationBody, width: int) -> tuple[list[Sequence[str]], bool]:
    """Return the texts row by row, and whether they are to be answered by scores.

    Raises:
        Problem: The columns are not those of the model, or some instances want scores and others do not.
    """
    if isinstance(parsed.instances, list):
        found = [one.inputs for one in parsed.instances if isinstance(one, Instance) and one.inputs is not UNSET]
        if found and len(found) < len(parsed.instances):
            raise Problem("wrong_option", "Give 'inputs' in all instances or in none.")
        return [_row(one) for one in parsed.instances], bool(found)
    if isinstance(parsed.dataframe_split, Frame):
        order = _order(parsed.dataframe_split.columns, width)
        size = len(parsed.dataframe_split.columns)
        if any(len(row) != size for row in parsed.dataframe_split.data):
            raise Problem("wrong_pair", "Every row must have as many values as there are columns.")
        return [[row[place] for place in order] for row in parsed.dataframe_split.data], False
    if isinstance(parsed.dataframe_records, list):
        return [[row[name] for name in _pick(row, width)] for row in parsed.dataframe_records], False
    table: dict[str, list[str]] = parsed.inputs if isinstance(parsed.inputs, dict) else {}
    columns = [table[name] for name in _pick(table, width)]
    if len({len(column) for column in columns}) > 1:
        raise Problem("wrong_pair", "All columns must have the same length.")
    return list(zip(*columns, strict=True)), False


def _row(instance: str | list[str] | Instance) -> Sequence[str]:
    if isinstance(instance, Instance):
        if instance.inputs is not UNSET:
            return _row(instance.inputs) if instance.text is instance.text_b is UNSET else []
        return [one for one in (instance.text, instance.text_b) if isinstance(one, str)]
    return [instance] if isinstance(instance, str) else instance


def _pick(names: Iterable[str], width: int) -> list[str]:
    known = list(names)
    return [known[place] for place in _order(known, width)]


def _order(names: Sequence[str], width: int) -> list[int]:
    """Return where the columns that the model reads stand: by their names, or where there are no others, in order.

    Raises:
        Problem: They are not there.
    """
    wanted = COLUMNS[:width]
    if all(name in names for name in wanted):
        return [names.index(name) for name in wanted]
    if len(names) == width:
        return list(range(width))
    raise Problem("wrong_pair", "The table must have the columns: {names}.", names=", ".join(wanted))


def _encode_scores(answers: list[Answer], request: Request, model: Any, digest: str) -> Reply:
    scores = encode_answers(answers, request, model, digest)
    return Reply(b'{"predictions":%s}' % scores, [(b"content-type", JSON)])
