"""Case files and the tests that run them: the definition language, rule by rule, offline."""
