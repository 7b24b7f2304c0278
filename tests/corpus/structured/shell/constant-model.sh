MODEL=google/gemini-2.5-pro
for f in *.md; do
  opencode run -m "$MODEL" "translate $f"
done
