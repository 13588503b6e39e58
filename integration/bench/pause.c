/* What a container of the bench runs: it waits to be ended. */
#include <unistd.h>

int main(void) {
    for (;;)
        pause();
}
