/* The floor: the least that a program in front of the runtime can do. It becomes the file that is named here. */
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
	(void)argc;
	argv[0] = RUNTIME;
	execve(RUNTIME, argv, environ);
	return 127;
}
