"""From what a batch brought to the one write of it: sessions as bytes, outputs in their places."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from engine.ports import Output, OutputKind, Place, SessionState, StateBatch
from engine.regime import Regime
from engine.values import Millis
from service.loading import Loaded
from service.worker.work import Outcome, Work


def to_write(
    work: Work, outcome: Outcome, generation: int, limited: Collection[str], held_out: Collection[str], out: Place
) -> tuple[StateBatch, list[int]]:
    """The one write of a batch, and the stored size of each session that lives, in order of `outcome.touched`.

    Args:
        work: The batch.
        outcome: What it brought.
        generation: Under which the partition is owned.
        limited: Tokens of the acts that a limit over sessions keeps back.
        held_out: Those of whom is held out.
        out: The place before which all outputs are out: a replay does not send them again.
    """
    states: dict[str, SessionState] = {}
    sizes: list[int] = []
    for session_id, session in outcome.touched.items():
        if session is None:
            states[session_id] = SessionState(None, outcome.watermark, None)
            continue
        memory = session.memory
        snapshot = session.loaded.network.snapshot(memory)
        clock = outcome.watermark if memory.clock is None else memory.clock
        states[session_id] = SessionState(snapshot, clock, session.due, memory.customer_id)
        sizes.append(len(snapshot))
    outputs: list[Output] = []
    place = Place(work.offset - 1, work.brought)
    for act in outcome.acts:
        token = None if act.sending is None else act.sending.token
        is_withheld = token in limited or token in held_out
        outcome.counts.limited += len(act.outputs) if token in limited else 0
        outcome.counts.held_out += len(act.outputs) if token in held_out else 0
        for output in act.outputs:
            # Withheld ones are numbered, too: in a replay that may be decided otherwise, and the others keep their places.
            ordinal = place.ordinal if place.offset == output.offset else 0
            place = Place(output.offset, ordinal + 1)
            if not is_withheld and (output.offset, ordinal) >= (out.offset, out.ordinal):
                outputs.append(replace(output, ordinal=ordinal))
                outcome.counts.triggers += output.kind is OutputKind.TRIGGER
    batch = StateBatch(
        partition=work.partition,
        generation=generation,
        expected_offset=work.offset,
        next_offset=outcome.offset,
        sessions=states,
        seen=outcome.seen,
        outputs=outputs,
        watermark=outcome.watermark,
        expected_step=work.step,
        brought=place.ordinal if place.offset == outcome.offset - 1 else 0,
        regime=regime_of(work.loaded, work.lateness, work.offset, work.step),
    )
    return batch, sizes


def regime_of(loaded: Loaded, lateness: Millis, offset: int, step: int) -> Regime:
    """What a batch that begins there is evaluated with, as it is recorded."""
    return Regime(offset, step, loaded.revision.number, loaded.revision.bundle, loaded.scorer.versions, lateness)
