"""The tests; a package, because an installed library brings a package of the same name, which would hide them."""
