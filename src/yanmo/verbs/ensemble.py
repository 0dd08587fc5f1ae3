"""ensemble: several Bundles to one that answers with all of them; it fits and publishes, and knows no engine."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from safetensors.numpy import save

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.pointers import Pointers
from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.combine.alignment import check_same_tokens
from yanmo.combine.calibration import calibration_error
from yanmo.combine.ensembling import Ensembler
from yanmo.combine.greedy import greedy_weights
from yanmo.combine.log_linear import log_linear_weights
from yanmo.combine.right_weights import right_weights
from yanmo.combine.stacking import LightgbmStacker
from yanmo.combine.weighting import log_loss_weights, score_weights, truth_probabilities
from yanmo.composing.composites import ask_members, check_members, member_names, publish_composite, read_out_of_fold
from yanmo.composing.one_tokenizer import check_one_tokenizer
from yanmo.composing.soup_bundle import publish_soup
from yanmo.composing.word_vocabularies import check_same_words
from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.executors.choice import HERE, ExecutorAddress, open_helpers
from yanmo.measuring.evaluation import Split, load_split, with_labels_of
from yanmo.metrics.measures import Measure
from yanmo.protocols import Task
from yanmo.runtimes.composite import LIGHTGBM_STACKER, LINEAR_STACKER, EnsembleSettings
from yanmo.runtimes.predictor import default_num_threads
from yanmo.runtimes.token_mean import TOKEN_MEAN, TokenMeanRuntime
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.tasks.labels import label_task
from yanmo.verbs.signature import verb

__all__ = ["EnsembleConfig", "ensemble"]

logger = logging.getLogger(__name__)

# A member that makes no mistake at all would have an infinite weight.
LEAST_SCORE = 1e-6
CALIBRATED = 0.04
"""Expected calibration errors above this are said."""

EnsembleMethod = Literal[
    "average",
    "average-tokens",
    "weighted",
    "weighted-by-score",
    "vote",
    "soft-vote",
    "log-linear",
    "greedy",
    "stacking",
    "stacking-lightgbm",
    "average-weights",
    "average-weights-greedy",
]
MEANS = ("average", "soft-vote", "weighted", "weighted-by-score", "greedy")
"""The methods that need no more of a member than the probability of what is there, which a language model says, too."""
DECIDED: dict[type[Any], None] = dict.fromkeys((Choices, Pointers, Arcs))
"""The forms of answers that choose, and say the probabilities of what is not chosen."""
WRITTEN: dict[type[Any], None] = {Writings: None}
"""The forms of answers that are written token by token."""


class EnsembleConfig(Config):
    """How the members become one."""

    method: EnsembleMethod = "average"
    """average (the same as soft-vote); average-tokens: networks with one tokenizer write together, each next token with
    the mean of their probabilities; weighted: the mean of the least log loss on the split, or, of written texts, that
    gets most of them right; weighted-by-score: by accuracy on it; vote; log-linear: the product of powers of the least
    log loss; greedy: members selected one by one; stacking, stacking-lightgbm: a second model, fitted on the members'
    out-of-fold answers; average-weights, average-weights-greedy: one model of the mean weights."""

    split: Literal["valid", "test", "train"] = "valid"
    """The rows on which weights are fitted and the ensemble is held against its members."""

    seed: int = Field(default=0, ge=0)
    """Seed of the bags of greedy and of the trees of stacking-lightgbm."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""

    executor: ExecutorAddress = HERE
    """Who answers the split for the members: local, this process; local:N, N processes of this machine; or
    ray://HOST:PORT, the machines of a Ray cluster."""


@dataclass(frozen=True)
class Fitting:
    """What every method is given.

    Attributes:
        dataset: Its labels are the ensemble's.
        members: The Bundles.
        columns: For each member its column of each label.
        config: The method.
        task: The task.
        split: The rows on which weights are fitted.
        answers: Evidence of each member on the split, columns in the Dataset's label order.
    """

    dataset: Dataset
    members: Sequence[Bundle]
    columns: list[list[int]]
    config: EnsembleConfig
    task: Task[Any]
    split: Split
    answers: list[Any]

    @property
    def headline(self) -> Measure:
        """What answers are held against each other by."""
        return self.task.measures[0]

    def score(self, evidence: Any) -> float:
        """Return the headline on the split."""
        return self.headline.score(self.task.statistics(evidence, self.split.targets))

    def gain(self, evidence: Any) -> float:
        """Return the headline on the split, so that more is better."""
        return self.headline.gain(self.score(evidence))

    def truth(self) -> FloatArray:
        """Return what each member gave to the truth."""
        return truth_probabilities(self.answers, self.split.targets, self.task)


@dataclass(frozen=True)
class Fitted:
    """A fitted method: how it combines, and what of it is stored.

    Attributes:
        ensembler: Of the members' answers.
        stacker: The kind of a second model.
        files: Name to content of files that it needs.
        evidence: What is answered on the split, where it is not made of the members' answers.
    """

    ensembler: Ensembler
    stacker: Literal["logistic", "lightgbm"] | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    evidence: Any = None


@verb
def ensemble(
    dataset: Dataset, members: tuple[Bundle, ...], config: EnsembleConfig, *, out: Path, effects: Effects = NO_EFFECTS
) -> Bundle:
    """Make one Bundle of several: average, vote, weights, greedy selection, stacking, a mean of weights.

    The members may be of any format and may have their labels in any order; ensembles and cascades may be members too.

    Args:
        dataset: On whose split weights are fitted, and whose labels the ensemble has.
        members: At least two Bundles with the same labels.
        config: How they become one.
        out: Where the new Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ConfigError: There are fewer than two members.
        DataError: Members answer another task or have other labels, or give what are no probabilities.
        ArtifactError: A member lacks what the method needs: out-of-fold predictions, or weights of the same shape.
        MissingExtraError: The method needs a package that is not installed.
    """
    if len(members) < 2:
        raise ConfigError(
            f"The 'members' input of ensemble must be at least 2 Bundles. Got {len(members)} instead.",
            hint="Name more Bundles, or a stage that makes several.",
        )
    check_form(task_of(dataset), "ensemble")
    if config.method == TOKEN_MEAN:
        row_of(WRITTEN, task_of(dataset).form, f"The method {config.method}")
        check_one_tokenizer(members)
    elif config.method not in MEANS:
        row_of(DECIDED, task_of(dataset).form, f"The method {config.method}")
    dataset = with_labels_of(members, dataset)
    columns, task = check_members(members, dataset), task_of(dataset)
    if task.form is Sequences:
        check_same_words(members)
    split = load_split(dataset, config.split)
    # Asked for all methods, also for those that fit nothing: members and result are held against each other.
    with open_helpers(config.executor, config.num_threads) as executor:
        outcomes = ask_members(members, dataset, split, num_threads=config.num_threads, executor=executor)
    check_same_tokens([one.evidence for one in outcomes], [str(one.path) for one in members])
    job = Fitting(dataset, members, columns, config, task, split, [one.evidence for one in outcomes])
    if config.method.startswith("average-weights"):
        _publish_soup(job, out, effects)
    else:
        _publish(job, out, effects)
    return Bundle.open(out, verify=False)


def _publish(job: Fitting, out: Path, effects: Effects) -> None:
    config = job.config
    fitted = _FITTERS[config.method](job)
    evidence = fitted.evidence
    if evidence is None:
        evidence = fitted.ensembler.combine(job.answers, job.task)
    scores = _scores(job, job.score(evidence))
    weights_K = fitted.ensembler.weights_K
    settings = EnsembleSettings(
        config.method,
        member_names(job.members),
        job.columns,
        [round(weight, 6) for weight in weights_K] if weights_K is not None else None,
        fitted.stacker,
    )
    publish_composite(
        out,
        job.members,
        settings,
        job.dataset,
        verb="ensemble",
        model=config.method,
        config=config.model_dump(mode="json"),
        seed=config.seed,
        scores=scores,
        extra_files=fitted.files,
        effects=effects,
    )


def _publish_soup(job: Fitting, out: Path, effects: Effects) -> None:
    scores = [job.gain(one) for one in job.answers]
    # Greedy goes from the best to the worst; equal ones stay in the order in which they were named.
    order = np.argsort(-np.asarray(scores), kind="stable").tolist() if job.config.method.endswith("greedy") else None

    publish_soup(
        out,
        job.members,
        job.dataset,
        job.split,
        order=order,
        gain=job.gain,
        config=job.config.model_dump(mode="json"),
        num_threads=job.config.num_threads,
        # A gain is a score or its negative, so the same function leads back.
        describe=lambda gain: _scores(job, job.headline.gain(gain)),
        effects=effects,
    )


def _scores(job: Fitting, score: float) -> dict[str, float]:
    """Return what is noted about the new Bundle, and say if it is worse than one of its members."""
    headline, singles = job.headline, [job.score(one) for one in job.answers]
    best = int(np.argmax([headline.gain(one) for one in singles]))
    if headline.gain(score) < headline.gain(singles[best]):
        logger.warning(
            "On the %s split the %s of %d members has %s %s, its member %s alone %s.",
            job.split.name,
            job.config.method,
            len(job.members),
            headline.name,
            headline.show(score),
            job.members[best].name,
            headline.show(singles[best]),
        )
    name = f"{job.split.name}_{headline.name}"
    return {name: score, f"{name}_of_best_member": singles[best], "num_members": len(singles)}


def _fit_average(job: Fitting) -> Fitted:
    return Fitted(Ensembler(len(job.members)))


def _write_together(job: Fitting) -> Fitted:
    runtime = TokenMeanRuntime(job.members, job.config.num_threads or default_num_threads())
    return Fitted(Ensembler(len(job.members)), evidence=runtime.infer(job.split.inputs).scores.activate())


def _fit_vote(job: Fitting) -> Fitted:
    return Fitted(Ensembler(len(job.members), is_vote=True))


def _say_uncalibrated(job: Fitting) -> None:
    """Say which members are not calibrated: by log loss, one that is too unsure of itself counts too little."""
    errors = [calibration_error(one, job.split.targets, job.task) for one in job.answers]
    shown = [
        f"{member.name} ({100 * error:.1f} %)"
        for member, error in zip(job.members, errors, strict=True)
        if error > CALIBRATED
    ]
    if shown:
        logger.warning(
            "%s goes by log loss, and the probabilities of these members are off on the %s split: %s.%s",
            job.config.method,
            job.split.name,
            ", ".join(shown),
            # Written texts can neither be calibrated nor pooled so.
            "" if job.task.form is Writings else " Calibrate them first, or use log-linear.",
        )


def _fit_weights(job: Fitting) -> Fitted:
    return Fitted(Ensembler(len(job.members), weights_K=_WEIGHERS.get(job.task.form, _least_loss_weights)(job)))


def _least_loss_weights(job: Fitting) -> list[float]:
    _say_uncalibrated(job)
    return log_loss_weights(job.truth())


def _most_right_weights(job: Fitting) -> list[float]:
    def right_of(weights_K: Sequence[float]) -> npt.NDArray[np.bool_]:
        combined = Ensembler(len(job.members), weights_K=weights_K).combine(job.answers, job.task)
        return job.task.right_N(combined, job.split.targets)

    return right_weights(len(job.members), right_of)


_WEIGHERS: dict[type[Any], Callable[[Fitting], list[float]]] = {Writings: _most_right_weights}
"""Of forms whose probabilities are off and cannot be calibrated: whole texts are rarely as likely as models say."""


def _fit_score_weights(job: Fitting) -> Fitted:
    return Fitted(Ensembler(len(job.members), weights_K=score_weights(_shares(job))))


def _shares(job: Fitting) -> list[float]:
    """Return what each member's weight is in proportion to: its headline, or where less is better, 1 / headline."""
    scores = [job.score(one) for one in job.answers]
    return scores if job.headline.higher_is_better else [1 / max(score, LEAST_SCORE) for score in scores]


def _fit_greedy(job: Fitting) -> Fitted:
    _say_uncalibrated(job)
    return Fitted(Ensembler(len(job.members), weights_K=greedy_weights(job.truth(), seed=job.config.seed)))


def _fit_log_linear(job: Fitting) -> Fitted:
    weights_K = log_linear_weights(job.answers, job.split.targets, job.task)
    return Fitted(Ensembler(len(job.members), weights_K=weights_K, is_log=True))


def _fit_stacking(job: Fitting) -> Fitted:
    # Here and not above: averages and votes need no package that trains.
    from yanmo.modeling.runs.stackers import fit_logistic

    learned, targets_NC = _out_of_fold(job)
    stacker = fit_logistic([one.values_MC for one in learned], targets_NC, learned[0].link)
    tensors = {"coefficients": stacker.coefficients_KCC, "intercepts": stacker.intercepts_C}
    return Fitted(Ensembler(len(job.members), stacker=stacker), "logistic", {LINEAR_STACKER: save(tensors)})


def _fit_lightgbm(job: Fitting) -> Fitted:
    from yanmo.modeling.runs.stackers import fit_lightgbm

    learned, targets_NC = _out_of_fold(job)
    num_threads = job.config.num_threads or default_num_threads()
    values = [one.values_MC for one in learned]
    models = fit_lightgbm(values, targets_NC, learned[0].link, seed=job.config.seed, num_threads=num_threads)
    # Zeros in front: sorted file names are then in the order of the labels, in which they are read back.
    width = len(str(len(models)))
    files = {LIGHTGBM_STACKER.format(f"{number:0{width}}"): model.encode() for number, model in enumerate(models, 1)}
    return Fitted(Ensembler(len(job.members), stacker=LightgbmStacker(models)), "lightgbm", files)


_FITTERS: dict[str, Callable[[Fitting], Fitted]] = {
    "average": _fit_average,
    # Another name that people look for: the mean of probabilities is a vote with soft ballots.
    "soft-vote": _fit_average,
    TOKEN_MEAN: _write_together,
    "vote": _fit_vote,
    "weighted": _fit_weights,
    "weighted-by-score": _fit_score_weights,
    "log-linear": _fit_log_linear,
    "greedy": _fit_greedy,
    "stacking": _fit_stacking,
    "stacking-lightgbm": _fit_lightgbm,
}


def _out_of_fold(job: Fitting) -> tuple[list[Choices], FloatArray]:
    """Return the members' answers to the training rows by models that had not learned from them, and the targets."""
    task = label_task(job.task, "Stacking")
    train = load_split(job.dataset, "train")
    # By id, as the members may have been given the rows in any order.
    ids = train.frame["id"].to_list()
    answers = [read_out_of_fold(member, ids, job.dataset) for member in job.members]
    found = [task.labeled(one, train.targets) for one in answers]
    return [evidence for evidence, _ in found], found[0][1]
