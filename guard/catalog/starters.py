"""Programs that start the command in their arguments, and where in them it stands."""

from __future__ import annotations

from typing import NamedTuple


class Wrapper(NamedTuple):
    """A program that starts the command in its arguments.

    `short` are the letters and `long` the names of options that take the next word, `skip` is how
    many words it wants for itself, `assigns` that `NAME=value` may stand before the command,
    `text` that the words are one text for a shell, and `idle` are the letters and names of options
    with which it starts none.
    """

    short: str = ""
    long: frozenset[str] = frozenset()
    skip: int = 0
    assigns: bool = False
    text: bool = False
    idle: frozenset[str] = frozenset()


def listed(text: str) -> frozenset[str]:
    """The names in `text`."""
    return frozenset(text.split())


# options from the programs' manual pages: sudo 1.9, GNU coreutils 9, findutils 4.9,
# util-linux 2.39, GNU parallel 2023; the others' own help
_SHORT = {
    "n": "nice gnice choom",
    "at": "ssh-agent",
    "bfils": "fakeroot",
    "cn": "ionice",
    "uDg": "run0",
    "aAeFlnopsuwx": "ltrace",
    "bCDfgHlOPqsStwz": "rlwrap",
    "f": "proxychains proxychains4",
    "L": "tsp",
    "acelopuE": "daemonize",
    "acDLtWw": "foot",
    "SGRw": "unshare",
    "tSGW": "nsenter",
    "CmNip": "numactl",
    "tip": "systemd-cat",
    "Td": "kitty",
    "pn": "minikube",
    "": "torify tsocks eatmydata dbus-launch linux32 linux64 i386 ifne "
    "nohup setsid chronic unbuffer noglob nocorrect pkexec setpriv firejail "
    "prlimit winpty valgrind corepack systemd-inhibit dbus-run-session flatpak-spawn "
    "torsocks tini dumb-init ddtrace-run opentelemetry-instrument nq k3s microk8s entr catchsegv",
}
_LONG = (
    "--adjustment --class --classdata --reuid --regid --user --group --setenv --chdir --directory "
    "--cpunodebind --membind --what --who --why --title --identifier --priority "
    "--pdeathsig --groups --config-file --root --wd --output --app-id --working-directory "
    "--config --session --instance-group --log-file --history-filename --propagation"
)
WRAPPERS = {
    "sudo": Wrapper(
        "CDghpRrTtuU",
        listed("--close-from --chdir --group --host --prompt --chroot --role --type --user"),
        assigns=True,
        idle=listed("l e v --list --edit --validate"),
    ),
    "command": Wrapper(idle=listed("v V q s a --query --search --all")),
    "builtin": Wrapper(idle=listed("q n --query --names")),
    "doas": Wrapper("Cu", assigns=True),
    "env": Wrapper("uCSLPa", listed("--unset --chdir --split-string --argv0"), assigns=True),
    "cross-env": Wrapper(assigns=True),
    "cross-env-shell": Wrapper(assigns=True, text=True),
    "time": Wrapper("fo", listed("--format --output")),
    "gtime": Wrapper("fo", listed("--format --output")),
    "exec": Wrapper("a"),
    "stdbuf": Wrapper("ioe", listed("--input --output --error")),
    "timeout": Wrapper("ks", listed("--kill-after --signal"), skip=1),
    "gtimeout": Wrapper("ks", listed("--kill-after --signal"), skip=1),
    "cmd.exe": Wrapper(skip=1, text=True),
    "powershell.exe": Wrapper(text=True),
    "pwsh": Wrapper(text=True),
    "powershell": Wrapper(text=True),
    "cmd": Wrapper(skip=1, text=True),
    "Start-Process": Wrapper(text=True),
    "saps": Wrapper(text=True),
    "Invoke-Expression": Wrapper(text=True),
    "iex": Wrapper(text=True),
    "wsl": Wrapper("du", listed("--distribution --user --cd")),
    "wsl.exe": Wrapper("du", listed("--distribution --user --cd")),
    "setarch": Wrapper(skip=1),
    "chroot": Wrapper("", listed("--userspec --groups"), skip=1),
    "taskset": Wrapper("p", skip=1),
    "gosu": Wrapper(skip=1),
    "su-exec": Wrapper(skip=1),
    "setuidgid": Wrapper(skip=1),
    "envdir": Wrapper(skip=1),
    "envchain": Wrapper(skip=1),
    "faketime": Wrapper("f", skip=1),
    "cgexec": Wrapper("g"),
    "cpulimit": Wrapper("lpe", listed("--limit --pid --exe")),
    "arch": Wrapper("deh"),  # of macOS; -arch NAME ends in a letter that takes a value
    "dtach": Wrapper("nAcNr", idle=frozenset("ap")),
    "abduco": Wrapper("ncAer", idle=frozenset("a")),
    "sshpass": Wrapper("fdpPe"),
    "systemd-socket-activate": Wrapper("lEd", listed("--listen --setenv --fdname")),
    "hyperfine": Wrapper(
        "wrmMpcPSLnu",
        listed(
            "--command-name --export-json --export-markdown --export-csv --export-asciidoc "
            "--export-orgmode --warmup --runs --min-runs --max-runs --shell --style --time-unit "
            "--output --input"
        ),
        text=True,
    ),
    "chrt": Wrapper("TPD", skip=1),
    "watchexec": Wrapper(
        "wWefisx",
        listed(
            "--watch --watch-non-recursive --workdir --project-origin --exts "
            "--filter --ignore --signal"
        ),
    ),
    "caffeinate": Wrapper("tw"),
    "xvfb-run": Wrapper(
        "enpsfw", listed("--server-num --server-args --auth-file --wait --error-file")
    ),
    "xargs": Wrapper(
        "IEdLnPsa",
        listed("--delimiter --arg-file --max-args --max-procs --max-lines --replace --max-chars"),
    ),
    "parallel": Wrapper(
        "aCdEIjJLlNnPsS",
        listed(
            "--arg-file --colsep --delay --delimiter --joblog --jobs --load --max-args --max-lines "
            "--max-procs --wd --env --basefile --sshloginfile "
            "--max-replace-args --memfree --nice --replacement --results --retries "
            "--sshlogin --tagstring --timeout --tmpdir --workdir"
        ),
        text=True,
    ),
    "watch": Wrapper("n", listed("--interval"), text=True),
    "strace": Wrapper(
        "eopsuPEIS", listed("--trace-path --output --attach --trace --user --env --signal")
    ),
    "systemd-run": Wrapper(
        "pMuHE",
        listed(
            "--unit --property --setenv --description --slice --uid --gid --machine "
            "--working-directory --on-active --on-calendar --nice --service-type"
        ),
    ),
    "screen": Wrapper("SctTehps", idle=listed("r R x -ls -list -wipe")),
    "start-stop-daemon": Wrapper(
        "acdgknNprsuxRPC",
        listed("--pidfile --name --user --group --chuid --chdir"),
        idle=listed("K T --stop --status"),
    ),
    "concurrently": Wrapper(
        "nplckms",
        listed("--names --prefix --prefix-colors --kill-others --max-processes --success"),
    ),
}
for _gnu in ("env", "stdbuf", "xargs"):
    WRAPPERS[f"g{_gnu}"] = WRAPPERS[_gnu]
for _letters, _programs in _SHORT.items():
    WRAPPERS.update((name, Wrapper(_letters, listed(_LONG))) for name in _programs.split())

# programs that start what stands behind a `--` in their arguments
BEHIND_DASHES = listed(
    "op doppler infisical dotenv dotenvx direnv mise rtx chamber aws-vault kubectl oc devbox "
    "teller vault bws secrethub summon envconsul nix flox devenv start-stop-daemon nono zellij "
    "gnome-terminal wezterm py-spy "
    "toolbox distrobox distrobox-enter lxc incus pueue guix"
)

# words behind which the `--` of those stands before arguments of a task
TASKS = {"mise": listed("run r watch w"), "rtx": listed("run r watch w")}

# programs that start the command behind these words, without a `--`
BEHIND_WORDS = {
    "uv": ("run",),
    "poetry": ("run",),
    "pipenv": ("run",),
    "hatch": ("run",),
    "pixi": ("run",),
    "bundle": ("exec",),
    "asdf": ("exec",),
    "volta": ("run",),
    "conda": ("run",),
    "mamba": ("run",),
    "micromamba": ("run",),
    "pdm": ("run",),
    "rye": ("run",),
    "pyenv": ("exec",),
    "rbenv": ("exec",),
    "nodenv": ("exec",),
    "fnm": ("exec",),
    "snap": ("run",),
    "toolbox": ("run",),
    "honcho": ("run",),
    "foreman": ("run",),
    "dotenv": ("run",),
    "direnv": ("exec",),
    "heroku": ("local:run",),
    "apptainer": ("exec",),
    "singularity": ("exec",),
    "perf": ("record", "stat", "trace"),
    "pm2": ("start",),
    "forever": ("start",),
}
SKIPPED = {"direnv": 1, "apptainer": 1, "singularity": 1}

# programs with an option whose value, or what follows it, is a command
BEHIND_OPTION = {
    "emulate": ("c", ""),
    "su": ("c", "--command --session-command"),
    "asciinema": ("c", "--command"),
    "runuser": ("c", "--command --session-command"),
    "sg": ("c", ""),
    "script": ("c", "--command"),
    "flock": ("c", "--command"),
    "nix-shell": ("", "--run --command"),
    "nix": ("c", "--command"),
    "nodemon": ("x", "--exec"),
    "start-stop-daemon": ("xa", "--exec --startas"),
    "mise": ("c", "--command"),
    "rtx": ("c", "--command"),
    "fd": ("xX", "--exec --exec-batch"),
    "xterm": ("e", ""),
    "urxvt": ("e", ""),
    "st": ("e", ""),
    "konsole": ("e", ""),
    "alacritty": ("e", "--command"),
    "xfce4-terminal": ("ex", "--command --execute"),
    "gnome-terminal": ("x", "--command"),
    "x-terminal-emulator": ("e", ""),
}

# of those the ones whose options are words, not letters: `-e`, `-geometry 80x24`
TERMINALS = listed(
    "xterm urxvt st konsole alacritty xfce4-terminal gnome-terminal x-terminal-emulator"
)

SSH = Wrapper("BbcDEeFIiJLlmOopPQRSWw")

RUN_OPTIONS = listed(
    "--package --with --python --env-file --group --extra --directory --project --name --prefix "
    "--cwd --using --index-url --with-requirements --file --only-group --no-extra --no-group "
    "--config-file --index --environment --manifest-path --env --output --with-editable "
    "--node --cache-dir --link-mode --upgrade-package --refresh-package --reinstall-package "
    "--no-binary-package --no-build-package --index-strategy --exclude-newer"
)

# programs that run what they are given on another machine, or once it is typed
ELSEWHERE = listed("ssh autossh slogin dbclient kubectl oc alias abbr")

# programs beside the containers that run what they are given among other files
APART = listed(
    "apptainer singularity lxc incus toolbox distrobox distrobox-enter wsl wsl.exe chroot"
)

# programs that print what they are given, or the path of the program of that name
PRINTS = listed("which whence where type realpath readlink echo print printf")

# docker and podman: options of `run` and `exec` that take a value (docker CLI reference)
DOCKER_SHORT = "eplvwuhmac"
DOCKER_LONG = listed(
    "--name --env --env-file --publish --expose --volume --mount --network --net --restart --user "
    "--workdir --entrypoint --platform --gpus --memory --cpus --label --hostname --add-host "
    "--shm-size --ulimit --device --cap-add --cap-drop --dns --ip --ipc --pid --pull --runtime "
    "--security-opt --tmpfs --log-driver --log-opt --health-cmd --stop-signal --file "
    "--project-name --profile --project-directory --index --cidfile --link --group-add"
)
TMUX_SHORT = "cnstxyeFlbTf"
TMUX_STARTS = listed(
    "run run-shell new new-session neww new-window splitw split-window respawn-pane respawn-window "
    "display-popup popup"
)
