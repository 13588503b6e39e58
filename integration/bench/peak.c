/* peak MOST PROGRAM [WORD...]: prints the peak of the resident memory, in KiB, of the program that its words name, if its
   exit code is MOST or less. It is small itself, because a child begins with its parent's memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	pid_t pid;
	if (argc < 3 || (pid = fork()) < 0)
		return 1;
	if (pid == 0) {
		execv(argv[2], argv + 2);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &usage) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > atoi(argv[1]))
		return 1;
	printf("\n%ld\n", usage.ru_maxrss);
	return 0;
}
