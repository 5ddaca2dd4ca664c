"""How are a command line and files of options read?"""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())  # installed, or a clone
