"""The checker of chaos runs finds each kind of violation, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.pool.checker import Folds, Oracle, Verdict, check
from tests.chaos.pool.history import Append, History, Row, Seen, Sent

ORACLE = Oracle((3_600.0, 86_400.0), {"click": 1.0, "view": 0.3})
NOW = 1_700_000_000.0


def row(seq: int, user: str = "u", kind: str = "click", epoch: int = 1) -> Row:
    return Row(0, seq, user, f"e{seq}", kind, NOW - 100.0 * seq, epoch, epoch)


def acknowledged(seq: int, end: float, user: str = "u") -> Append:
    return Append(end - 0.5, end, (Sent(0, user, f"e{seq}"),), True, {0: seq})


def seen(rows: list[Row], begin: float, version: int, user: str = "u", asked: int = 0) -> Seen:
    mine = [r for r in rows if r.user == user and r.seq <= version]
    mass = tuple(ORACLE.mass(mine, NOW))
    return Seen(begin, begin + 0.5, 0, user, version, asked, len(mine), NOW, mass)


@pytest.fixture
def sound() -> History:
    rows = [row(1), row(2, "v", "view"), row(3, epoch=2)]
    return History(
        appends=[
            acknowledged(1, 1.0),
            acknowledged(2, 2.0, "v"),
            Append(2.5, 9.0, (Sent(0, "u", "e3"), Sent(0, "u", "never")), False, {}),
        ],
        reads=[
            seen(rows, 0.2, 0),
            seen(rows, 1.2, 1, asked=1),
            seen(rows, 2.1, 2),
            seen(rows, 3.0, 3),
        ],
        recovered=[seen(rows, 20.0, 3), seen(rows, 20.0, 3, "v")],
        rows=rows,
    )


def test_masses_in_one_pass_are_those_of_the_oracle() -> None:
    rows = [row(1), row(3, kind="view"), row(4), row(9)]
    folds = Folds(ORACLE, rows)
    for version in range(11):
        upto = [r for r in rows if r.seq <= version]
        assert folds.n_upto(version) == len(upto)
        assert folds.mass(len(upto), NOW + 5.0) == pytest.approx(ORACLE.mass(upto, NOW + 5.0))


def test_a_sound_run_has_no_violation(sound: History) -> None:
    assert check(sound, ORACLE) == Verdict()
    assert check(sound, ORACLE).is_sound()


def not_in_the_ledger(run: History) -> None:
    run.appends.append(Append(3.0, 4.0, (Sent(0, "u", "gone"),), True, {0: 3}))


def not_in_the_profile(run: History) -> None:
    run.rows.append(row(4, epoch=2))
    run.appends.append(acknowledged(4, 5.0))


def recovered_without_an_event(run: History) -> None:
    run.recovered[0] = run.recovered[0]._replace(n_events=1)


def recovered_with_less_mass(run: History) -> None:
    run.recovered[0] = run.recovered[0]._replace(mass=(0.5, 1.0))


def twice_in_the_ledger(run: History) -> None:
    run.rows.append(row(4, epoch=2)._replace(event_id="e1"))
    run.recovered[0] = seen(run.rows, 20.0, 4)
    run.recovered[1] = seen(run.rows, 20.0, 4, "v")


def counted_twice_in_memory(run: History) -> None:
    run.reads[2] = run.reads[2]._replace(n_events=2)


def weighed_twice_in_memory(run: History) -> None:
    run.reads[2] = run.reads[2]._replace(mass=tuple(2 * m for m in run.reads[2].mass))


def committed_in_an_older_epoch(run: History) -> None:
    run.rows.append(row(4, epoch=1)._replace(epoch=None))
    run.recovered[0] = seen(run.rows, 20.0, 4)


def committed_in_an_epoch_that_is_not_the_row_s(run: History) -> None:
    run.rows[2] = run.rows[2]._replace(epoch=3)


def committed_after_the_release(run: History) -> None:
    run.rows[2] = run.rows[2]._replace(is_released=True)


def read_without_what_was_acknowledged(run: History) -> None:
    run.reads[2] = seen(run.rows, 2.1, 1)


def read_below_the_version_asked_for(run: History) -> None:
    run.reads[0] = run.reads[0]._replace(min_version=1)


def read_older_than_a_read_before(run: History) -> None:
    run.reads.append(seen(run.rows, 4.0, 2))


def not_to_be_read_in_the_end(run: History) -> None:
    run.unread.append("profile: has not caught up with min_version yet")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (not_in_the_ledger, "lost"),
        (not_in_the_profile, "lost"),
        (recovered_without_an_event, "lost"),
        (recovered_with_less_mass, "lost"),
        (twice_in_the_ledger, "duplicated"),
        (counted_twice_in_memory, "duplicated"),
        (weighed_twice_in_memory, "duplicated"),
        (committed_in_an_older_epoch, "stale_writes"),
        (committed_in_an_epoch_that_is_not_the_row_s, "stale_writes"),
        (committed_after_the_release, "stale_writes"),
        (read_without_what_was_acknowledged, "stale_reads"),
        (read_below_the_version_asked_for, "stale_reads"),
        (read_older_than_a_read_before, "stale_reads"),
        (not_to_be_read_in_the_end, "stale_reads"),
    ],
)
def test_a_planted_violation_is_found_as_what_it_is(
    sound: History, plant: Callable[[History], None], kind: str
) -> None:
    plant(sound)
    found = {name for name, n in check(sound, ORACLE).counts().items() if n > 0}
    assert kind in found
    assert found <= {kind, "stale_reads"}, "what is lost is also missing in later reads"
