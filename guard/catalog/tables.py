"""Nobody imports it. Where Python would keep its bytecode, `guard.catalog` keeps what it parsed:
pip, uv and whatever else clears up after Python remove that file with this module."""
