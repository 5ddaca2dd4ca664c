"""How are a command line and files of options read?"""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
OF_EARLIER_DATA = "++dataset."  # begins options that only the data set of an earlier run may have, until it is read
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())  # installed, or a clone
