"""A sudden rise is told once in a cool-down; steady figures, however high, never are."""

from tailrace.observe.limits import SPIKE_COOL_DOWN_MS
from tailrace.observe.spikes import Figures, Spikes

MB = 1024 * 1024
CALM = Figures(20, 200 * MB, 10)


def told(spikes, looks, begin_ms=0.0):
    found = [spikes.look(figures, begin_ms + at * 5000) for at, figures in enumerate(looks)]
    return [spike.figure for spike in found if spike is not None]


def test_each_figure_can_rise():
    for figure, value in {"cpu_percent": 95.0, "memory_bytes": 400.0 * MB, "task_count": 900.0}.items():
        risen = CALM._replace(**{figure: value})
        assert told(Spikes(), [*[CALM] * 8, risen, risen, risen]) == [figure]


def test_the_reason_says_what_and_against_what():
    spikes = Spikes()
    told(spikes, [CALM] * 8)
    spike = spikes.look(CALM._replace(cpu_percent=95), 40_000)
    assert spike is not None and spike.reason == "cpu_percent is 95, the mean of the last 8 looks 20"


def test_one_in_a_cool_down_whatever_rises():
    spikes = Spikes()
    everything = [CALM._replace(cpu_percent=95), CALM._replace(task_count=900), CALM._replace(memory_bytes=900 * MB)]
    assert told(spikes, [*[CALM] * 8, *everything]) == ["cpu_percent"]
    assert told(spikes, [*[CALM] * 10, everything[1]], SPIKE_COOL_DOWN_MS + 100_000) == ["task_count"]


def test_an_hour_of_ordinary_load_is_not_told():
    looks = [CALM._replace(cpu_percent=50 + at % 30, memory_bytes=(200 + at % 40) * MB) for at in range(720)]
    assert told(Spikes(), looks) == []


def test_what_is_high_from_the_beginning_or_small_is_not_told():
    assert told(Spikes(), [Figures(99, 4000 * MB, 5000)] * 50) == []
    assert told(Spikes(), [*[Figures(1, 30 * MB, 1)] * 8, Figures(55, 100 * MB, 90)]) == []
    assert told(Spikes(), [CALM, CALM, CALM._replace(cpu_percent=99)]) == []
