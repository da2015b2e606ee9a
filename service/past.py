"""What was live once: revisions with the models that answered then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.bundle import Revision
from engine.facts import FactStore
from engine.regime import Regime
from models.registry import ModelRegistry
from models.scorer import Scorer
from service.clock import Clock, wall_ms
from service.control import Control
from service.loading import BundleRefusedError, Loaded, load_stored
from service.signing import Signing
from service.worker.equipment import Equipment, PastError

KEPT = 8
"""Regimes whose networks and models are kept."""


class Past:
    """Makes what a regime evaluates with, and keeps the latest."""

    def __init__(
        self,
        control: Control,
        signing: Signing,
        registry: Path,
        profiles: FactStore,
        catalogue: FactStore,
        clock: Clock = wall_ms,
    ) -> None:
        self._control = control
        self._signing = signing
        self._registry = registry
        self._profiles = profiles
        self._catalogue = catalogue
        self._clock = clock
        self._made: dict[tuple[object, ...], Equipment] = {}

    def equipment(self, regime: Regime) -> Equipment:
        """The equipment of a regime. Raises `PastError` where a bundle or a model is not there any more."""
        key = (regime.revision, regime.bundle, tuple(sorted(regime.models.items())), regime.lateness)
        if key not in self._made:
            loaded = self._load(regime)
            self._made[key] = Equipment.of(loaded, self._profiles, self._catalogue, self._clock, regime.lateness)
            if len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
        return self._made[key]

    def _load(self, regime: Regime) -> Loaded:
        told = f"revision {regime.revision} (bundle {regime.bundle[:12]}), which was live at offset {regime.offset},"
        revision = self._control.revision(regime.revision)
        if revision is None or revision.bundle != regime.bundle:
            revision = Revision(regime.revision, regime.bundle, "", 0, "")
        try:
            loaded = load_stored(self._control, self._signing, revision, self._registry)
        except BundleRefusedError as error:
            raise PastError(f"{told} can't be loaded any more: {error}") from error
        if loaded.scorer.versions == regime.models:
            return loaded
        scores = {score.name: score.model for score in loaded.program.vocabulary.scores.values()}
        pins = {scores[name]: version for name, version in regime.models.items() if name in scores}
        scorer = Scorer.open(ModelRegistry(self._registry), scores, pins)
        if scorer.versions != regime.models:
            missing = sorted(set(regime.models.items()) - set(scorer.versions.items()))
            raise PastError(
                f"{told} was evaluated with {', '.join(f'version {version[:12]} for {name}' for name, version in missing)}, "
                f"which the registry in {self._registry} does not have"
            )
        return replace(loaded, scorer=scorer)
