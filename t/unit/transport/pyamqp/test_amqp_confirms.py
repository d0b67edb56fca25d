from __future__ import annotations

from kombu.transport.pyamqp._confirms import Confirms, Outstanding


def entries(
    confirms: Confirms, count: int, key: str = 'k', mandatory: bool = False
) -> list[Outstanding]:
    made = [Outstanding('e', key, mandatory=mandatory) for _ in range(count)]
    for entry in made:
        confirms.published(entry)
    return made


def error() -> BaseException:
    return RuntimeError('gone')


def test_one() -> None:
    confirms = Confirms()
    a, b, c = entries(confirms, 3)
    assert confirms.settle(2, multiple=False, refused=False) == [b]
    assert (a.ready, b.ready, c.ready) == (False, True, False)
    assert len(confirms) == 2


def test_all_up_to_one() -> None:
    confirms = Confirms()
    a, b, c, d = entries(confirms, 4)
    confirms.settle(2, multiple=False, refused=False)
    assert confirms.settle(3, multiple=True, refused=True) == [a, c]
    assert (a.refused, b.refused, c.refused, d.ready) == (True, False, True, False)


def test_all() -> None:
    confirms = Confirms()
    made = entries(confirms, 3)
    assert confirms.settle(0, multiple=True, refused=False) == made


def test_number_that_is_not_outstanding() -> None:
    """One whose publisher gave up, or that was settled before."""
    confirms = Confirms()
    (a,) = entries(confirms, 1)
    confirms.settle(1, multiple=False, refused=False)
    assert confirms.settle(1, multiple=False, refused=True) == []
    assert confirms.settle(9, multiple=False, refused=False) == []
    assert not a.refused


def test_not_written() -> None:
    """The number is used for the next message: the broker has not counted this one."""
    confirms = Confirms()
    first = Outstanding('e', 'k', mandatory=False)
    confirms.unpublished(confirms.published(first))
    (second,) = entries(confirms, 1)
    assert confirms.settle(1, multiple=False, refused=False) == [second]


def test_returned_belongs_to_the_oldest_that_fits() -> None:
    confirms = Confirms()
    (other,) = entries(confirms, 1, key='other', mandatory=True)
    (unasked,) = entries(confirms, 1)
    first, second = entries(confirms, 2, mandatory=True)
    assert confirms.returned('e', 'k', error)
    assert [entry.returned for entry in (other, unasked, first, second)] == [
        None,
        None,
        error,
        None,
    ]
    assert confirms.returned('e', 'k', error)
    assert second.returned is error
    assert not confirms.returned('e', 'k', error)


def test_abandon() -> None:
    confirms = Confirms()
    made = entries(confirms, 2)
    assert confirms.abandon(error) == made
    assert all(entry.ready and entry.error is error for entry in made)
    assert not len(confirms)
