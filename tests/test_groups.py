"""Tests of one group run on one worker, where they share what took long to make."""

import os

import pytest


@pytest.mark.xdist_group("together")
def test_a_worker_knows_the_groups(request: pytest.FixtureRequest):
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@together")
