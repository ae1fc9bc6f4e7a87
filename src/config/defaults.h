// The defaults that sluice.proto and docs/configuration.md name.
//
// Thread-safety: pure function.
#pragma once

#include "config/sluice.pb.h"

namespace sluice::config {

// Sets every absent field that has a default; what is there stays. Filling twice changes nothing. Afterwards these are
// present: engine, its workers, max_connections and max_sessions; mtu of a pci or device interface, tap of a pci
// interface; idle_timeout and icmp_echo of a listener, and of a tcp or tcp_udp one whose pool forwards by nat or
// full_nat handshake_timeout, half_closed_timeout, closed_timeout and reset_on_idle; forwarding and maglev_table_size
// of a pool, gue_port of a gue pool; weight of a backend. hash_key has no default here: the daemon keeps one in its
// state folder.
void FillDefaults(v1::Config& config);
// Those of a backend alone.
void FillDefaults(v1::Backend& backend);

}  // namespace sluice::config
