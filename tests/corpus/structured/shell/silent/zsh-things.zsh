autoload -Uz compinit && compinit
setopt extended_glob
print -P "%F{red}opencode run%f"
for f (*.txt(.N)) print $f
