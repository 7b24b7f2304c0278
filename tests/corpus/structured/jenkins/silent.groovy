class Settings {
  def names() {
    ANTHROPIC_API_KEY = "x"
    image "python"
  }
}
