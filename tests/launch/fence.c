/* What a process can do with two ports: fence PORT-OF-A-LISTENER FREE-PORT
 *
 * Prints a line for each way to bind the free port and to reach the listener: its name, and "ok" or
 * the errno. Linked statically, so that nothing that is preloaded has a say. With a third argument
 * it does so in a grandchild in a session of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MPTCP 262
#define SMC_PROTOCOL 256
#define SMC_FAMILY 43
#define FASTOPEN 0x20000000
#define FASTOPEN_CONNECT 30

static void say(const char *name, long result)
{
	printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static socklen_t address(struct sockaddr_storage *out, int family, const char *host, int port)
{
	memset(out, 0, sizeof *out);
	if (family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		inet_pton(AF_INET6, host, &six->sin6_addr);
		return sizeof *six;
	}
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	four->sin_family = family;
	four->sin_port = htons(port);
	inet_pton(AF_INET, host, &four->sin_addr);
	return sizeof *four;
}

static int open_socket(int family, int protocol)
{
	int made = socket(family == AF_UNSPEC ? AF_INET : family, SOCK_STREAM, protocol);
	int no = 0;
	if (made >= 0 && family == AF_INET6)
		setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
	return made;
}

static void try_bind(const char *name, int family, int protocol, const char *host, int port)
{
	struct sockaddr_storage to;
	socklen_t size = address(&to, family, host, port);
	int made = open_socket(family, protocol);
	if (made < 0) {
		say(name, -1);
		return;
	}
	say(name, bind(made, (struct sockaddr *)&to, size));
	close(made);
}

static void try_connect(const char *name, int family, int protocol, const char *host, int port)
{
	struct sockaddr_storage to;
	socklen_t size = address(&to, family, host, port);
	int made = open_socket(family, protocol);
	if (made < 0) {
		say(name, -1);
		return;
	}
	say(name, connect(made, (struct sockaddr *)&to, size));
	close(made);
}

static void try_fastopen(int port)
{
	struct sockaddr_storage to;
	socklen_t size = address(&to, AF_INET, "127.0.0.1", port);
	struct iovec data = {"x", 1};
	struct mmsghdr message = {.msg_hdr = {&to, size, &data, 1, NULL, 0, 0}};
	int yes = 1;

	int made = open_socket(AF_INET, 0);
	say("fastopen-sendto", sendto(made, "x", 1, FASTOPEN, (struct sockaddr *)&to, size));
	close(made);
	made = open_socket(AF_INET, 0);
	say("fastopen-sendmsg", sendmsg(made, &message.msg_hdr, FASTOPEN));
	close(made);
	made = open_socket(AF_INET, 0);
	say("fastopen-sendmmsg", sendmmsg(made, &message, 1, FASTOPEN));
	close(made);
	made = open_socket(AF_INET, 0);
	setsockopt(made, IPPROTO_TCP, FASTOPEN_CONNECT, &yes, sizeof yes);
	int result = connect(made, (struct sockaddr *)&to, size);
	say("fastopen-connect", result < 0 ? result : write(made, "x", 1));
	close(made);
}

#ifdef __x86_64__
/* i386's system call, as a 64-bit program can make it; its pointers would have to be low */
static long i386(long number, long one, long two, long three)
{
	long result;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(one), "c"(two), "d"(three)
			 : "memory", "r8", "r9", "r10", "r11");
	result = (int)result;
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}

static void try_other_tables(void)
{
	say("i386-socket", i386(359, AF_INET, SOCK_STREAM, 0));
	say("i386-mptcp", i386(359, AF_INET, SOCK_STREAM, MPTCP));
	say("i386-socketcall-socket", i386(102, 1, 0, 0));
	say("i386-io_uring", i386(425, 1, 0, 0));
	say("x32-socket", syscall(0x40000000 | 41, AF_INET, SOCK_STREAM, MPTCP));
}
#endif

static void try_all(int listener, int vacant)
{
	char parameters[256] = {0};

	try_bind("bind-4", AF_INET, 0, "127.0.0.1", vacant);
	try_bind("bind-4-any", AF_INET, 0, "0.0.0.0", vacant);
	try_bind("bind-unspec", AF_UNSPEC, 0, "0.0.0.0", vacant);
	try_bind("bind-6", AF_INET6, 0, "::1", vacant);
	try_bind("bind-6-any", AF_INET6, 0, "::", vacant);
	try_bind("bind-mapped", AF_INET6, 0, "::ffff:127.0.0.1", vacant);
	try_bind("bind-mptcp", AF_INET, MPTCP, "127.0.0.1", vacant);
	try_bind("bind-mptcp-6", AF_INET6, MPTCP, "::", vacant);
	try_bind("bind-smc", SMC_FAMILY, 0, "127.0.0.1", vacant);
	try_bind("bind-smc-inet", AF_INET, SMC_PROTOCOL, "127.0.0.1", vacant);
	try_connect("connect-4", AF_INET, 0, "127.0.0.1", listener);
	try_connect("connect-4-other", AF_INET, 0, "127.9.9.9", listener);
	try_connect("connect-4-any", AF_INET, 0, "0.0.0.0", listener);
	try_connect("connect-6", AF_INET6, 0, "::1", listener);
	try_connect("connect-6-any", AF_INET6, 0, "::", listener);
	try_connect("connect-mapped", AF_INET6, 0, "::ffff:127.0.0.1", listener);
	try_connect("connect-mptcp", AF_INET, MPTCP, "127.0.0.1", listener);
	try_connect("connect-mptcp-6", AF_INET6, MPTCP, "::1", listener);
	try_fastopen(listener);
	/* the kernel reads the low half of an int, and so must a filter */
	say("mptcp-high-bits", syscall(SYS_socket, AF_INET, SOCK_STREAM, MPTCP | 1L << 40));
	say("io_uring", syscall(425, 1, parameters));
#ifdef __x86_64__
	try_other_tables();
#endif
	try_bind("bind-any-port", AF_INET, 0, "127.0.0.1", 0);
	try_bind("bind-any-port-6", AF_INET6, 0, "::", 0);
}

int main(int argc, char **argv)
{
	int listener, vacant;

	if (argc < 3)
		return 2;
	listener = atoi(argv[1]);
	vacant = atoi(argv[2]);
	if (argc > 3) {
		if (fork()) {
			wait(NULL);
			return 0;
		}
		setsid();
		if (fork()) {
			wait(NULL);
			return 0;
		}
	}
	try_all(listener, vacant);
	return 0;
}
