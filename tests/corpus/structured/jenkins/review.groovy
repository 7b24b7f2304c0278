def call() {
  withCredentials([string(credentialsId: 'x', variable: 'ANTHROPIC_API_KEY')]) {
    sh 'opencode run -m mistral/large x'
  }
}
