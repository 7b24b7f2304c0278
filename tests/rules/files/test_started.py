"""Where people start agents from, in which files: one table, and what only speaks of one."""

from __future__ import annotations

import pytest

from guard.check import engine
from guard.policy.values import CompiledPolicy
from guard.rules.detectors import DETECTORS
from guard.sources.file import SourceFile

MODEL = "anthropic/claude-sonnet-4"
CALL = f"opencode run -m {MODEL} hi"
WORDS = ", ".join(f'"{word}"' for word in CALL.split())
ARGUMENTS = ", ".join(f'"{word}"' for word in CALL.split()[1:])

STARTED = (
    # PowerShell
    ("a.ps1", "# start\nCALL\n"),
    ("amp.ps1", "$out = & \"opencode\" run -m MODEL 'it''s' | Out-String\n"),
    ("block.ps1", "function Go {\n  param($p)\n  if ($p) { opencode.exe run -m MODEL $p }\n}\n"),
    ("ticks.ps1", "opencode run `\n  -m MODEL `\r\n  hi\n"),
    ("path.ps1", "& 'C:\\Tools\\opencode.cmd' run -m MODEL hi\n"),
    ("start.ps1", "Start-Process -FilePath opencode -ArgumentList 'run','-m','MODEL'\n"),
    ("start2.ps1", 'Start-Process opencode "run -m MODEL hi" -NoNewWindow\n'),
    ("array.ps1", "saps opencode -ArgumentList @('run', '-m', 'MODEL')\n"),
    ("text.ps1", 'Invoke-Expression "CALL"\n'),
    ("job.psm1", "Start-Job { CALL }\n"),
    ("named.ps1", "$agent = 'opencode'\n& $agent run -m MODEL hi\n"),
    ("cmd.ps1", 'cmd /c "CALL"\n'),
    ("bin/tool", "#!/usr/bin/env pwsh\n& opencode run -m MODEL hi\n"),
    # batch files
    ("a.bat", "@echo off\r\nrem start\r\nCALL\r\n"),
    ("call.cmd", "call opencode.cmd run -m MODEL hi\r\n"),
    ("start.bat", 'start "my title" /b opencode run -m MODEL hi\r\n'),
    ("if.bat", "if not exist x (\r\n  echo no\r\n) else opencode run -m MODEL hi\r\n"),
    ("for.bat", "for %%f in (*.md) do opencode run -m MODEL %%f\r\n"),
    ("caret.bat", "opencode run ^\r\n  -m MODEL ^\r\n  hi\r\n"),
    ("path.bat", 'cd /d %~dp0 && "C:\\Program Files\\opencode.exe" run -m MODEL\r\n'),
    ("ps.bat", 'powershell -NoProfile -Command "CALL"\r\n'),
    # Nix
    ("shell.nix", "mkShell {\n  shellHook = ''\n    CALL\n  '';\n}\n"),
    ("flake.nix", "{ x = writeShellScriptBin \"a\" ''\n  CALL\n''; }\n"),
    ("unit.nix", '{ serviceConfig.ExecStart = "${pkgs.opencode}/bin/CALL"; }\n'),
    # files of sections, cron
    ("tox.ini", "[testenv]\ncommands =\n    pytest\n    -CALL {posargs}\n"),
    ("setup.cfg", "[testenv]\ncommands = CALL\n"),
    ("etc/supervisor/conf.d/a.conf", "[program:a]\ncommand=CALL\n"),
    ("a.desktop", "[Desktop Entry]\nExec=CALL\n"),
    ("dot/.gitconfig", "[alias]\n\tai = !CALL\n"),
    ("crontab", "MAILTO=a\n*/5 * * * 1-5 CALL\n"),
    ("etc/cron.d/job", "0 4 * * * root CALL\n"),
    ("jobs.cron", "@daily CALL\n"),
    # tools that run named tasks
    ("tox.toml", "[env_run_base]\ncommands = [[WORDS]]\n"),
    ("pyproject.toml", '[tool.poe.tasks.a]\ncmd = "CALL"\n'),
    ("a/pyproject.toml", '[tool.hatch.envs.default.scripts]\na = ["CALL"]\n'),
    ("b/pyproject.toml", '[tool.pdm.scripts]\na = {shell = "CALL"}\n'),
    ("pixi.toml", '[tasks]\na = {cmd = "CALL"}\n'),
    ("Pipfile", '[scripts]\na = "CALL"\n'),
    ("Makefile.toml", '[tasks.b]\ncommand = "opencode"\nargs = [ARGUMENTS]\n'),
    ("package.json", '{"wireit": {"a": {"command": "CALL"}}}'),
    (".lintstagedrc", '{"*.md": "CALL"}'),
    ("nodemon.json", '{"execMap": {"md": "CALL"}}'),
    ("ecosystem.config.json", '{"apps": [{"script": "opencode", "args": "run -m MODEL hi"}]}'),
    ("mprocs.yaml", "procs:\n  a:\n    cmd: [WORDS]\n"),
    ("dvc.yaml", "stages:\n  a:\n    cmd: CALL\n"),
    ("melos.yaml", "scripts:\n  a:\n    run: CALL\n"),
    (".gitpod.yml", "tasks:\n  - before: CALL\n"),
    ("railway.json", '{"deploy": {"startCommand": "CALL"}}'),
    (".replit", 'run = "CALL"\n'),
    (".cursor/environment.json", '{"install": "CALL"}'),
    (".zed/tasks.json", '[{"label": "a", "command": "opencode", "args": [ARGUMENTS]}]'),
    ("a.sublime-project", '{"build_systems": [{"cmd": [WORDS]}]}'),
    (".run/a.run.xml", '<option name="SCRIPT_TEXT" value="cd x &amp;&amp; CALL" />\n'),
    (
        ".idea/runConfigurations/a.xml",
        '<option name="SCRIPT_PATH" value="/usr/bin/opencode" />\n'
        '<option name="SCRIPT_OPTIONS" value="run -m MODEL hi" />\n',
    ),
    ("a.ipynb", '{"cells": [{"cell_type": "code", "source": ["x = 1\\n", "!CALL\\n"]}]}'),
    ("b.ipynb", '{"cells": [{"cell_type": "code", "source": ["%%bash\\n", "CALL\\n"]}]}'),
    # infrastructure
    ("main.tf", 'provisioner "local-exec" {\n  command = "CALL"\n}\n'),
    ("heredoc.tf", "command = <<-EOT\n  CALL\nEOT\n"),
    ("a.pkr.hcl", 'inline = ["ls", "CALL"]\n'),
    ("a.nomad", 'config {\n  command = "opencode"\n  args    = [ARGUMENTS]\n}\n'),
    ("tasks/main.yml", "- ansible.builtin.command:\n    argv: [WORDS]\n"),
    ("t.yaml", "apiVersion: tekton.dev/v1\nspec:\n  steps:\n    - script: |\n        CALL\n"),
    ("Earthfile", "VERSION 0.8\na:\n  FROM x\n  RUN CALL\n"),
    # CI
    (
        ".github/workflows/a.yml",
        "jobs:\n  a:\n    steps:\n    - shell: cmd\n      run: call CALL\n",
    ),
    (
        ".github/workflows/b.yml",
        "jobs:\n  a:\n    steps:\n    - shell: python\n      run: |\n"
        "        import subprocess\n        subprocess.run([WORDS])\n",
    ),
    ("azure-pipelines.yml", "steps:\n- pwsh: if ($true) { CALL }\n"),
    ("appveyor.yml", "build_script:\n- ps: '& opencode run -m MODEL hi'\n"),
    ("cloudbuild.yaml", "steps:\n- entrypoint: bash\n  args: ['-c', 'CALL']\n"),
    (".buildkite/hooks/pre-command", "CALL\n"),
    (".githooks/pre-commit", "CALL\n"),
    # code
    ("noxfile.py", "import nox\n\ndef a(session):\n    session.run(WORDS, external=True)\n"),
    ("tasks.py", 'from invoke import task\n\n@task\ndef a(c):\n    c.run("CALL")\n'),
    ("Rakefile", "task :a do\n  sh 'CALL'\nend\n"),
    ("Vagrantfile", "c.vm.provision 'shell', inline: <<-SHELL\n  CALL\nSHELL\n"),
    ("a.rb", "x = `CALL`\n"),
    ("b.rb", "%x(CALL)\n"),
    ("a.php", "<?php\n$x = `CALL`;\n"),
    ("a.pl", "my $x = qx{CALL};\n"),
    ("main.rs", 'Command::new("opencode").arg("run").args(["-m", "MODEL"]).spawn()\n'),
    ("magefile.go", "func A() { sh.RunV(WORDS) }\n"),
    ("a.ex", 'System.cmd("opencode", [ARGUMENTS])\n'),
    ("init.lua", "vim.fn.jobstart({WORDS})\n"),
    ("build.gradle.kts", "commandLine(WORDS)\n"),
)

SILENT = (
    ("a.ps1", 'Write-Host "CALL"\n# CALL\n<#\nCALL\n#>\n$help = @"\nCALL\n"@\n'),
    ("a.bat", "rem CALL\r\n:: CALL\r\necho CALL\r\n:opencode\r\n"),
    ("a.nix", '{ pname = "opencode"; description = "CALL"; # CALL\n}\n'),
    ("b.nix", "{ meta.longDescription = ''\n  CALL\n''; }\n"),
    ("tox.ini", "[testenv]\ndeps = opencode\ndescription = CALL\n# CALL\n"),
    ("crontab", "# 0 0 * * * CALL\n"),
    ("pyproject.toml", '[project]\ndescription = "CALL"\nkeywords = ["opencode", "CALL"]\n'),
    ("package.json", '{"description": "CALL", "keywords": ["opencode"]}'),
    ("node_modules/x/package.json", '{"scripts": {"a": "CALL"}}'),
    ("a.ipynb", '{"cells": [{"cell_type": "markdown", "source": ["!CALL"]}]}'),
    ("main.tf", 'description = "CALL"\n'),
    ("a.rb", 'puts "CALL"\n# `CALL`\nraise "run CALL"\n'),
    ("a.md", "`CALL`\n"),
    ("a.run.xml", '<option name="DESCRIPTION" value="CALL" />\n'),
    ("main.rs", 'println!("CALL");\n'),
    ("a.go", "router.Run(WORDS)\n"),
)


def found(path: str, text: str) -> list[tuple[str, int]]:
    for word, given in (
        ("CALL", CALL),
        ("MODEL", MODEL),
        ("WORDS", WORDS),
        ("ARGUMENTS", ARGUMENTS),
    ):
        text = text.replace(word, given)
    outcome = engine.Outcome()
    file = SourceFile(path, text.encode())
    engine.check_file(file, engine.Settings(CompiledPolicy()), DETECTORS, outcome)
    assert all(MODEL.partition("/")[0] in file.line(f.line) for f, _ in outcome.found)
    return [(finding.rule, finding.line) for finding, _ in outcome.found]


@pytest.mark.parametrize(("path", "text"), STARTED, ids=[path for path, _ in STARTED])
def test_an_agent_that_a_file_starts(path: str, text: str) -> None:
    assert [rule for rule, _ in found(path, text)] == ["RG201"]


@pytest.mark.parametrize(("path", "text"), SILENT, ids=[path for path, _ in SILENT])
def test_an_agent_that_a_file_only_names(path: str, text: str) -> None:
    assert found(path, text) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.ps1", "$env:ANTHROPIC_API_KEY = 'VALUE'\n"),
        ("a.bat", 'set "ANTHROPIC_API_KEY=VALUE"\r\n'),
        ("b.bat", "setx ANTHROPIC_API_KEY VALUE\r\n"),
        ("tox.ini", "[testenv]\nsetenv =\n    A=1\n    ANTHROPIC_API_KEY=VALUE\n"),
        ("supervisord.conf", '[program:a]\nenvironment=A="1",ANTHROPIC_API_KEY="VALUE"\n'),
        ("crontab", "ANTHROPIC_API_KEY=VALUE\n"),
        (".idea/workspace.xml", '<env name="ANTHROPIC_API_KEY" value="VALUE" />\n'),
    ],
)
def test_a_variable_that_a_file_sets(path: str, text: str) -> None:
    outcome = engine.Outcome()
    value = "Zx9Qp4LmTr72Kd"
    file = SourceFile(path, text.replace("VALUE", value).encode())
    engine.check_file(file, engine.Settings(CompiledPolicy()), DETECTORS, outcome)
    assert [finding.rule for finding, _ in outcome.found] == ["RG101"]
