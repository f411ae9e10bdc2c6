// DRAM behind the AXI data ports: latency, shared bandwidth, random stalls, faults, protocol checks.
//
// Time is counted in cycles. In each cycle the harness settles the combinational logic, then calls
// Dram::cycle, which looks at the handshakes of that cycle and decides what the memory drives in the
// next one; the harness applies that after the rising edge. So every output of the memory is a
// register, as at a hard AXI port.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace weft {

constexpr int MAX_BEATS = 16;
constexpr int MAX_BEAT_BYTES = 16;
constexpr int MAX_PORTS = 4;

// Handed over by Python (ctypes.Structure of the same layout).
struct Params {
    uint64_t memory_bytes;
    uint64_t memory_base;        // physical address of memory[0]
    uint64_t rate_millibytes;    // deliverable bytes per cycle * 1000; 0 is unlimited
    uint32_t read_latency;       // AR handshake in cycle n: first beat in cycle n + read_latency
    uint32_t write_latency;      // WLAST handshake in cycle n: response in cycle n + write_latency
    uint32_t queue;              // bursts that a port accepts ahead, each direction
    uint32_t max_reads;          // outstanding reads per port that are legal; 0 is unlimited
    uint32_t max_writes;
};

struct Stats {
    uint64_t read_bytes, written_bytes, read_bursts, write_bursts, max_reads, max_writes;
};

// What a master drives in one cycle.
struct Address {
    uint64_t address = 0;
    uint32_t length = 0;   // beats - 1
    uint32_t size = 0, burst = 0, lock = 0, cache = 0, prot = 0, qos = 0, id = 0;
    bool operator==(const Address& o) const {
        return address == o.address && length == o.length && size == o.size && burst == o.burst
               && lock == o.lock && cache == o.cache && prot == o.prot && qos == o.qos && id == o.id;
    }
};
struct WriteBeat {
    uint8_t data[MAX_BEAT_BYTES] = {};
    uint32_t strobe = 0, last = 0, id = 0;
};
struct MasterPins {
    bool arvalid = false, awvalid = false, wvalid = false, rready = false, bready = false;
    Address ar, aw;
    WriteBeat w;
};
// What the memory drives in one cycle.
struct SlavePins {
    bool arready = false, awready = false, wready = false, rvalid = false, bvalid = false;
    bool rlast = false;
    uint8_t rresp = 0, bresp = 0;
    uint8_t rdata[MAX_BEAT_BYTES] = {};
};

struct Fault {
    uint64_t first, last;  // physical byte addresses, both included
    uint8_t response;      // 2 SLVERR, 3 DECERR
    bool reads, writes;
};

class Dram {
  public:
    Dram(const Params& params, uint8_t* memory, int ports, int beat_bytes);
    void reset();                               // as at power on; memory contents stay
    void cycle(const MasterPins* in, bool in_reset);
    const SlavePins& pins(int port) const { return ports_[port].out; }
    void set_stalls(uint64_t seed, const double* probability);
    void set_window(uint64_t first, uint64_t end) { window_first_ = first; window_end_ = end; }
    void add_fault(const Fault& fault) { faults_.push_back(fault); }
    void hang(int64_t reads_from, int64_t writes_from);
    void clear_faults();
    void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
    bool idle() const;

    Stats stats{};
    uint64_t now = 0;
    std::string error;

  private:
    enum Stall { AR, R, AW, W, B };
    struct Burst {
        uint64_t address, due;
        uint64_t number;  // counted over all ports, for hang
        uint32_t beats, beat;
        bool complete;
        uint32_t strobe[MAX_BEATS];
        uint8_t data[MAX_BEATS * MAX_BEAT_BYTES];
    };
    // Bursts of one direction of one port, oldest first.
    class Queue {
      public:
        explicit Queue(uint32_t capacity = 1) : ring_(capacity) {}
        uint32_t size() const { return size_; }
        Burst& at(uint32_t i) { return ring_[(head_ + i) % ring_.size()]; }
        Burst& push() { return at(size_++); }
        void pop() { head_ = (head_ + 1) % ring_.size(); size_--; }
        void clear() { head_ = size_ = 0; }

      private:
        std::vector<Burst> ring_;
        uint32_t head_ = 0, size_ = 0;
    };
    struct Port {
        SlavePins out;
        Queue reads, writes;
        uint32_t filling = 0;  // bursts, from the oldest, whose write data are complete
        bool b_driven = false;
        bool ar_held = false, aw_held = false, w_held = false;
        Address ar, aw;
        WriteBeat w;
    };

    void check_address(int port, const char* name, const Address& a, bool write);
    void handshakes(int p, const MasterPins& in);
    bool wants_read(Port& port);
    bool wants_write(Port& port);
    void read_beat(Port& port);
    void respond(Port& port);
    uint8_t response(uint64_t first, uint64_t last, bool write) const;
    bool inside(uint64_t first, uint64_t last) const {
        return first >= params_.memory_base && last < params_.memory_base + params_.memory_bytes
               && first <= last;
    }
    bool stalled(Stall channel);

    const Params params_;
    uint8_t* const memory_;
    const int count_;
    const uint32_t beat_bytes_;
    std::vector<Port> ports_;
    std::vector<Fault> faults_;
    int64_t credit_ = 0, cap_ = 0;  // millibytes
    int turn_ = 0;
    bool stalling_ = false;
    uint64_t random_ = 1;
    uint64_t threshold_[5] = {};
    int64_t hang_reads_ = -1, hang_writes_ = -1;
    uint64_t window_first_ = 0, window_end_ = ~uint64_t{0};
    uint32_t reset_cycles_ = 0;
};

}  // namespace weft
