"""Every function of a decision is found by its name, without loading the others."""

import subprocess
import sys

import pytest

from estimator import decide


@pytest.mark.parametrize("name", decide.__all__)
def test_every_name_resolves(name):
    assert getattr(decide, name).__name__ == name


def test_no_name_is_a_modules_own():
    """A module's name would be the module or the function, by what was imported before."""
    assert all(not getattr(decide, name).__module__.endswith(f".{name}") for name in decide.__all__)


def test_looking_at_the_package_loads_none_of_it():
    code = "import sys, estimator.decide; sys.exit(any(name.startswith('estimator.decide.') for name in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        decide.nothing  # noqa: B018
