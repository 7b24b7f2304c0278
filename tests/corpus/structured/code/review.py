import subprocess

MODELS = ["opencode", "claude", "codex"]
command = ["opencode", "run", "-m", "openai/gpt-4o"]


def review(prompt: str) -> None:
    subprocess.run([*command, prompt], check=True)
    subprocess.run(["opencode", "run", "-m", "anthropic/claude", prompt], check=True)
    subprocess.Popen("ollama serve", shell=True)
    subprocess.run(["git", "commit", "-m", "opencode run"])
