"""A small Django project that the tests put under real servers."""
