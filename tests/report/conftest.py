"""Analyses that the tests of plots and previews share."""

import pytest

from resync import Analyzer


@pytest.fixture(scope="package")
def analyzer():
    return Analyzer()


@pytest.fixture(scope="package")
def late(analyzer, delayed_clip):
    """Analysis of a clip whose audio is 200 ms late."""
    return analyzer.examine(delayed_clip(200))
