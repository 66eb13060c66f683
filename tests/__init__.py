"""A package, and not just a folder: the sign-in provider of the tests installs a package “tests”, which would come first."""
