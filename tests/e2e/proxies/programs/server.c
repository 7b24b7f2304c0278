/* A static server as Go makes them: `server serve [PORT [mptcp]]`, by default on 11434.
 *
 * Answers "Ollama is running" to everything when its own file is called ollama, else nothing.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nOllama is running";

int main(int argc, char **argv)
{
	int protocol = argc > 3 && !strcmp(argv[3], "mptcp") ? IPPROTO_MPTCP : 0;
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(argc > 2 ? atoi(argv[2]) : 11434),
		.sin6_addr = in6addr_any,
	};
	const char *slash = strrchr(argv[0], '/');
	int speaks = !strcmp(slash ? slash + 1 : argv[0], "ollama");
	int on = 1, server = socket(AF_INET6, SOCK_STREAM, protocol);

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) ||
	    listen(server, 16)) {
		perror("server");
		return 3;
	}
	for (;;) {
		char asked[4096];
		int connection = accept(server, NULL, NULL);

		if (connection < 0)
			continue;
		if (speaks && read(connection, asked, sizeof asked) > 0 &&
		    write(connection, ANSWER, sizeof ANSWER - 1) < 0)
			perror("write");
		close(connection);
	}
}
