"""Nobody imports it. Where Python would keep its bytecode, `guard.bytecode` keeps that of a launch:
pip, uv and whatever else clears up after Python remove that file with this module."""
