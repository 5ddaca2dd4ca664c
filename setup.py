"""What pyproject.toml cannot say: conf/ at the top of the repository is installed as smash_lightning/conf."""

from setuptools import find_namespace_packages, find_packages, setup

groups = [f"smash_lightning.conf.{name}" for name in find_namespace_packages("conf")]
setup(
    packages=[*find_packages(include=["smash_lightning*"]), "smash_lightning.conf", *groups],
    package_dir={"smash_lightning.conf": "conf"},
)
