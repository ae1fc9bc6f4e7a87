// Every limit of a configuration, in one place; docs/configuration.md repeats them for the reader.
//
// They keep what a hostile or mistaken file can cost within bounds, and they are what the tables are sized for: the
// connection table names a backend by 20 bits (HOUSE: the structures), hence kMaxBackends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::config {

// Text.
inline constexpr size_t kMaxFileBytes = size_t{64} << 20;
// Between two values. yaml-cpp keeps every token of an outermost {...} or [...] until it ends, some 200 bytes for each
// byte of the file.
inline constexpr size_t kMaxLookaheadBytes = size_t{2} << 20;
// Elements of all lists together, whatever they hold; room for kMaxBackends and all the rest.
inline constexpr size_t kMaxListElements = 2'000'000;
// The schema is 4 levels deep; deeper input is a mistake or an attack.
inline constexpr size_t kMaxDepth = 32;
// More lines than this are counted, not kept.
inline constexpr size_t kMaxErrorLines = 100;
// Longer lines (a quoted value may be megabytes) are cut.
inline constexpr size_t kMaxErrorLineBytes = 500;

// Names of listeners, pools and backends; 63 bytes as a DNS label (RFC 1035 section 2.3.4).
inline constexpr size_t kMaxNameBytes = 63;

// Engine.
inline constexpr uint32_t kMinWorkers = 1;
inline constexpr uint32_t kMaxWorkers = 64;
inline constexpr uint64_t kMinConnections = 1'000;
inline constexpr uint64_t kMaxConnections = 1'000'000'000;
// NAT sessions, when there are any.
inline constexpr uint64_t kMinSessions = 1'000;
inline constexpr uint64_t kMaxSessions = 1'000'000'000;
// Addresses of engine.nat_addresses, those of its prefixes counted one by one.
inline constexpr uint64_t kMaxNatAddresses = 1'024;
inline constexpr size_t kHashKeyBytes = 32;
// Workers sleep for up to 50 ms.
inline constexpr int64_t kMinTakeoverMs = 100;
inline constexpr int64_t kMaxTakeoverMs = 60'000;
inline constexpr size_t kMaxInterfaces = 32;
// A kernel interface name without its terminating zero (IFNAMSIZ - 1).
inline constexpr size_t kMaxInterfaceNameBytes = 15;
inline constexpr size_t kMaxDeviceBytes = 1024;
// Layer 3, bytes: the least that IPv6 allows (RFC 8200 section 5), the largest jumbo frame that NICs agree on.
inline constexpr uint32_t kMinMtu = 1280;
inline constexpr uint32_t kMaxMtu = 9216;

// Listeners.
inline constexpr size_t kMaxListeners = 65'535;
inline constexpr uint32_t kMaxPort = 65'535;
// Of one listener (SLUICE_SPLIT_POOLS in sluice/types.h); and listeners that have several, each of which may need a
// record beside those of pools (SLUICE_POOLS).
inline constexpr int kMaxListenerPools = 8;
inline constexpr int kMaxSplitListeners = 16'384;
// Ranges of more than one port, of one address and protocol: the path searches them by halves, 7 times
// (SLUICE_PORT_RANGES in sluice/types.h). Single ports are found by hash and have no such limit.
inline constexpr int kMaxPortRanges = 128;
// Of the access lists of all listeners together: 64 MB of tables, and twice that while they change.
inline constexpr size_t kMaxAccessPrefixes = 1'000'000;
// New connections a second of one source.
inline constexpr uint32_t kMaxSourceRate = 1'000'000;
// Of every timeout.
inline constexpr int64_t kMinIdleSeconds = 1;
// The connection table's clock wraps beyond (HOUSE: 12 bits of 2 s, with room for the sweep).
inline constexpr int64_t kMaxIdleSeconds = 6'000;

// Pools.
inline constexpr size_t kMaxPools = 16'384;
inline constexpr size_t kMaxBackends = 1'000'000;
inline constexpr uint32_t kMaxWeight = 65'535;
inline constexpr uint64_t kMaxWeightSum = UINT32_MAX;
// SLUICE_LIMIT_MOST in sluice/tables.h.
inline constexpr uint32_t kMaxBackendConnections = 16'777'215;
// Percent of a backend's share.
inline constexpr uint32_t kMaxHashBalanceFactor = 1'000;
inline constexpr uint32_t kMinMaglevTableSize = 251;
// The last prime before 2^24, which is the most that tables/maglev.h builds.
inline constexpr uint32_t kMaxMaglevTableSize = 16'777'213;
// Of all pools together: 1 GiB of tables, and twice that while they change.
inline constexpr uint64_t kMaxMaglevEntries = uint64_t{1} << 28;
// Below this many entries a backend, shares are off by more than about 1 % (Maglev, NSDI 2016, section 5.3).
inline constexpr uint64_t kGoodMaglevEntriesPerBackend = 100;

inline constexpr int64_t kMaxDrainSeconds = 86'400;
inline constexpr int64_t kMaxSlowStartSeconds = 3'600;

// Health checks.
inline constexpr int64_t kMinCheckIntervalMs = 100;
inline constexpr int64_t kMaxCheckIntervalMs = 3'600'000;
inline constexpr int64_t kMinCheckTimeoutMs = 10;
inline constexpr uint32_t kMaxRiseFall = 100;
inline constexpr uint32_t kMaxMinimumFailed = 1'000'000;
// Of everything that is sent or expected, each.
inline constexpr size_t kMaxCheckBytes = 1'024;
inline constexpr int kMaxCheckSteps = 32;
// Of all pools together; above, one control thread may be late.
inline constexpr double kManyChecksPerSecond = 10'000;

}  // namespace sluice::config
