"""Local model proxies: found, judged, stopped, held off and fenced."""
