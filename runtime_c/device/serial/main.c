#include "port.h"
#include "protocol.h"

int main(void) {
    port_start();
    for (;;) {
        const int32_t byte = port_read();
        if (byte >= 0) {
            protocol_receive((uint8_t)byte);
        } else {
            port_wait();
        }
    }
}
