/* The least that a create can do: it reads what has to be read, writes what has to be written, and becomes the runtime. It
   knows every place beforehand, looks at nothing that it reads and checks nothing. Called as runc is: --root DIR create
   --bundle DIR ID, with the folder of the run in XDG_RUNTIME_DIR. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
extern char **environ;

#define CONTAINERS "/run/runc-strict/containers/"
static char document[1 << 16], other[1 << 12], place[4][256];

static long get(const char *path, char *to, long most)
{
	struct stat found;
	int file = open(path, O_RDONLY | O_CLOEXEC);
	fstat(file, &found);
	long length = read(file, to, most);
	close(file);
	return length;
}

static int put(const char *temporary, const char *path, const char *from, long length)
{
	int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int failed = write(file, from, length) != length;
	close(file);
	return failed || rename(temporary, path);
}

int main(int argc, char **argv)
{
	struct stat found;
	unsigned long how[3] = { O_RDONLY | O_CLOEXEC, 0, 0x10 /* RESOLVE_IN_ROOT */ };
	const char *run = getenv("XDG_RUNTIME_DIR"), *configuration = getenv("RUNC_STRICT_CONFIG");
	if (argc < 7 || !run || !configuration)
		return 2;
	snprintf(place[0], 256, "%s/config.json", argv[5]);
	snprintf(place[1], 256, "%s/.least", argv[5]);
	snprintf(place[2], 256, "%s/rootfs", argv[5]);
	snprintf(place[3], 256, "%s/audit.log", run);

	/* the configuration, the runtime, and what is known of it */
	get(configuration, other, sizeof other);
	stat(RUNTIME, &found);
	get(configuration, other, sizeof other);
	/* the document, and the image's etc/group */
	long length = get(place[0], document, sizeof document);
	int root = open(place[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	int group = syscall(SYS_openat2, root, "etc/group", how, sizeof how);
	fstat(group, &found);
	if (length <= 0 || read(group, other, sizeof other) <= 0)
		return 3;
	close(group);
	close(root);
	/* the record, the document, the line in the audit log */
	if (put(CONTAINERS ".least.new", CONTAINERS ".least", document, 1000) || put(place[1], place[0], document, length))
		return 4;
	int log = open(place[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (write(log, document, 500) != 500)
		return 5;
	close(log);
	argv[0] = RUNTIME;
	execve(RUNTIME, argv, environ);
	return 127;
}
