"""From a bundle to what a process serves: checked, compiled, tested, its models opened. All of it aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.bundle import Bundle, BundleError, Revision
from engine.language import Checked, check
from engine.language.diagnostics import Diagnostic, render
from engine.language.tree import Program
from engine.rete import Network
from engine.testing import TestResult, run_tests
from models.registry import ModelRegistry
from models.scorer import Scorer
from service.collecting import collection_put_off
from service.control import Control
from service.signing import Signing, SigningError


class BundleRefusedError(Exception):
    """A bundle that must not serve.

    Attributes:
        reasons: One plain sentence each.
        diagnostics: What the checker found, where that is the reason.
    """

    def __init__(self, reasons: tuple[str, ...], diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
        self.diagnostics = diagnostics


@dataclass(frozen=True, slots=True)
class Compiled:
    """A bundle that passed the checker and its own tests."""

    bundle: Bundle
    checked: Checked
    program: Program
    network: Network
    tests: tuple[TestResult, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a process serves. Immutable: whoever took it out keeps one revision until it takes the next."""

    revision: Revision
    bundle: Bundle
    program: Program
    network: Network
    scorer: Scorer
    checked: Checked | None = field(default=None, repr=False)

    @property
    def pins(self) -> Mapping[str, str]:
        """Version of each model, by model name."""
        return self.bundle.pins


def compile_bundle(
    bundle: Bundle,
    ancestry: Mapping[str, frozenset[str]],
    checked: Checked | None = None,
    former: Loaded | Compiled | None = None,
) -> Compiled:
    """Check, compile and test a bundle.

    Args:
        bundle: From a publisher, the tables or the local disk.
        ancestry: Digests of the rules of former bundles, by bundle hash.
        checked: What the checker said of these sources, where the caller knows.
        former: What serves now, or was compiled before: what did not change since is taken over from it.

    Raises:
        BundleRefusedError: The checker reports an error, the network can't be built, or a test beside the rules fails.
    """
    with collection_put_off():
        checked = checked or check(bundle.sources, None if former is None else former.checked)
    if checked.program is None:
        raise BundleRefusedError((render(checked.diagnostics, bundle.sources),), checked.diagnostics)
    try:
        with collection_put_off():
            before = None if former is None else former.network
            network = Network.build(checked.program, bundle.hash, ancestry, before)
        tests = tuple(run_tests(checked.program, network))
    except Exception as error:
        # Whatever a compiler that we wrote stumbles over: the bundle stays out, and the one before goes on serving.
        raise BundleRefusedError((f"the rules can't be compiled: {type(error).__name__}: {error}",)) from error
    failed = tuple(each for each in tests if not each.passed)
    if failed:
        raise BundleRefusedError(tuple(map(_sentence, failed)))
    return Compiled(bundle, checked, checked.program, network, tests)


def load(
    revision: Revision,
    bundle: Bundle,
    ancestry: Mapping[str, frozenset[str]],
    registry: Path,
    former: Loaded | None = None,
) -> Loaded:
    """Make what serves a revision; raises `BundleRefusedError`. A missing model is no reason: rules say what holds.

    What did not change since `former` is taken over from it: it makes no difference but to the time.
    """
    compiled = compile_bundle(bundle, ancestry, former=former)
    scores = {score.name: score.model for score in compiled.program.vocabulary.scores.values()}
    scorer = Scorer.open(ModelRegistry(registry), scores, bundle.pins)
    return Loaded(revision, bundle, compiled.program, compiled.network, scorer, compiled.checked)


def load_stored(
    control: Control, signing: Signing, revision: Revision, registry: Path, former: Loaded | None = None
) -> Loaded:
    """`load` of a revision whose bundle is in the control tables; raises `BundleRefusedError` and `PortError`.

    One that no trusted key vouches for, where keys must, is refused; `former` is what serves, as in `Signing.check`.
    """
    try:
        signing.check(revision, None if former is None else former.revision)
        bundle = control.bundle(revision.bundle)
    except SigningError as error:
        raise BundleRefusedError((str(error),)) from error
    except (KeyError, BundleError) as error:
        raise BundleRefusedError((f"its bundle is not in the tables or damaged: {error}",)) from error
    return load(revision, bundle, control.ancestry(), registry, former)


def _sentence(failed: TestResult) -> str:
    """The first thing that a test missed, as people read it."""
    head = f'{failed.file}:{failed.line}: test "{failed.test}" fails'
    if failed.problem is not None:
        return f"{head}: {failed.problem}"
    first = next(each for each in failed.checks if not each.passed)
    why = f" ({'; '.join(first.why)})" if first.why else ""
    return f"{head}: at {first.at} it expects {first.expected}, and there came {first.came}{why}"
