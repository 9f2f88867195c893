import pkgutil
import subprocess
import sys

import probes.stats

MODULES = sorted(f"probes.stats.{module.name}" for module in pkgutil.iter_modules(probes.stats.__path__))


def test_reading_the_statistics_loads_no_torch_and_none_of_the_slow_libraries():
    slow = ["torch", "scipy.stats", "statsmodels", "sklearn", "fairlearn", "pandas", "dp_accounting"]
    program = f"import sys, {', '.join(MODULES)}; print([m for m in {slow} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"
