"""Running the suite without a test framework."""

from __future__ import annotations

import json

import pytest

from kombu.testing import Target
from kombu.testing.__main__ import main, pairs
from kombu.testing.checks import Broken, Hung, NotApplicable, NotClaimed
from kombu.testing.matrix import Outcome, from_json
from kombu.testing.runner import run, selected
from kombu.testing.suite import TransportSuite

QUICK = 'delivery.get_empty'


def test_selection():
    def ids(*only):
        return [guarantee.id for guarantee, _ in selected(TransportSuite, only)]

    assert ids(QUICK) == [QUICK]
    assert set(ids('tls')) < set(ids('tls', 'delivery')) < set(ids())
    assert all('dead_letter' in name for name in ids('queue.dead_letter*'))
    assert ids('nothing') == []


def test_report():
    progress = []
    report = run(
        Target('memory://', name='mine'), only=[QUICK, 'lease.head'], progress=progress.append
    )
    assert report.name == 'mine'
    assert 'priority' in report.claims
    assert [(result.id, result.outcome) for result in report.results] == [
        (QUICK, Outcome.PASSED),
        ('lease.head', Outcome.NOT_CLAIMED),
    ]
    assert progress == list(report.results)


@pytest.mark.parametrize(
    ('error', 'outcome'),
    [
        (Broken('why'), Outcome.FAILED),
        (Hung('why'), Outcome.HUNG),
        (NotApplicable('why'), Outcome.NOT_APPLICABLE),
        (NotClaimed('why'), Outcome.NOT_CLAIMED),
        (KeyError('why'), Outcome.ERROR),
        (AssertionError('why'), Outcome.ERROR),
    ],
)
def test_outcomes(monkeypatch, error, outcome):
    def fail(self):
        raise error

    fail.guarantee = TransportSuite.test_delivery_get_empty.guarantee
    monkeypatch.setattr(TransportSuite, 'test_delivery_get_empty', fail)
    (result,) = run(Target('memory://'), only=[QUICK]).results
    assert result.outcome is outcome
    assert 'why' in result.detail


class TestCommand:
    def test_list(self, capsys):
        assert main(['--list', '--only', 'tls']) == 0
        out = capsys.readouterr().out
        assert 'tls.verifies_name' in out
        assert 'delivery' not in out

    def test_run(self, capsys, tmp_path):
        file = tmp_path / 'report.json'
        assert main(['memory://', '--only', QUICK, '--json', str(file), '--name', 'mine']) == 0
        out, err = capsys.readouterr()
        assert 'Getting from an empty queue' in out
        assert err.startswith('passed')
        (report,) = from_json(file.read_text())
        assert report.name == 'mine'

    def test_failure_is_the_exit_status(self, capsys):
        argv = ['memory://', '--only', 'queue.priority', '--set', 'capabilities=["lease"]']
        assert main(argv) == 0
        # Claimed by the target, not kept by a transport whose leases nobody knows.
        argv = ['memory://', '--only', 'claims.refused_priority', '--set', 'capabilities=[]']
        assert main([*argv, '--quiet']) == 1

    def test_merge(self, capsys, tmp_path):
        files = []
        for name in ('one', 'two'):
            files.append(str(tmp_path / f'{name}.json'))
            main(['memory://', '--only', QUICK, '--json', files[-1], '--name', name, '--quiet'])
        capsys.readouterr()
        assert main(['--merge', *files, '--format', 'json']) == 0
        merged = json.loads(capsys.readouterr().out)
        assert [report['name'] for report in merged['reports']] == ['one', 'two']
        assert main(['--merge', *files, '--format', 'rst']) == 0
        assert '.. list-table::' in capsys.readouterr().out

    def test_nothing_to_do(self, capsys):
        with pytest.raises(SystemExit):
            main([])
        assert 'a URL is needed' in capsys.readouterr().err

    def test_pairs(self):
        assert pairs(['a=1', 'b=true', 'c=text', 'd={"x": [1]}']) == {
            'a': 1,
            'b': True,
            'c': 'text',
            'd': {'x': [1]},
        }
