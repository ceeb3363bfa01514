"""The kinds of values that settings have: how each is read from TOML, what is wrong with one, how it is declared."""
