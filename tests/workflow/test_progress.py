import io

from trajectories.progress import Line, Progress


def test_a_log_gets_whole_lines_that_can_be_read_back():
    log = io.StringIO()
    with Progress("training nano-m, seed 2", total=4, unit="step", every=0, file=log) as progress:
        progress.update(3)
        progress.update()
    lines = [Line.parse(text) for text in log.getvalue().splitlines()]
    assert [line.done for line in lines] == [0, 3, 4, 4]
    assert {(line.label, line.total, line.unit) for line in lines} == {("training nano-m, seed 2", 4, "step")}
    assert lines[0].seconds_left is None
    assert lines[-1].seconds_left == 0


def test_lines_are_rare_however_often_the_job_reports():
    log = io.StringIO()
    with Progress("scoring", total=1000, unit="item", every=60, file=log) as progress:
        for _ in range(1000):
            progress.update()
    assert len(log.getvalue().splitlines()) == 2


def test_a_resumed_job_does_not_count_earlier_work_in_its_speed():
    with Progress("training", total=10, initial=8, file=io.StringIO()) as progress:
        assert progress.line().seconds_left is None
        progress.update()
        assert progress.line().seconds_left == 0


def test_other_lines_of_a_log_are_not_progress():
    assert Line.parse("PROGRESS is slow") is None
    assert Line.parse("loading 3/4 shards 5") is None


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with Progress("extracting", total=2, unit="batch", file=terminal) as progress:
        progress.update(2)
    assert "PROGRESS" not in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
