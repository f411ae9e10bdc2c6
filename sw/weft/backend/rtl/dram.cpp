#include "dram.h"

namespace weft {

Dram::Dram(const Params& params, uint8_t* memory, int ports, int beat_bytes)
    : params_(params), memory_(memory), count_(ports), beat_bytes_(beat_bytes), ports_(ports) {
    for (Port& port : ports_) {
        port.reads = Queue(params.queue);
        port.writes = Queue(params.queue);
    }
    // One beat each way on every port: what the FIFOs of the ports smooth. A quiet bus saves no more.
    cap_ = int64_t{2000} * ports * beat_bytes + static_cast<int64_t>(params.rate_millibytes);
    reset();
}

void Dram::reset() {
    for (Port& port : ports_) {
        port.out = SlavePins{};
        port.reads.clear();
        port.writes.clear();
        port.filling = 0;
        port.b_driven = port.ar_held = port.aw_held = port.w_held = false;
    }
    credit_ = 0;
    turn_ = 0;
    reset_cycles_ = 0;
}

void Dram::set_stalls(uint64_t seed, const double* probability) {
    random_ = seed * 0x9E3779B97F4A7C15ull | 1;
    stalling_ = false;
    for (int i = 0; i < 5; i++) {
        double scaled = probability[i] * 4294967296.0;
        threshold_[i] = static_cast<uint64_t>(scaled);
        stalling_ |= threshold_[i] != 0;
    }
}

void Dram::hang(int64_t reads_from, int64_t writes_from) {
    hang_reads_ = reads_from;
    hang_writes_ = writes_from;
}

void Dram::clear_faults() {
    faults_.clear();
    hang(-1, -1);
}

void Dram::fail(const char* format, ...) {
    if (!error.empty()) return;  // the first one is the cause
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error = "cycle " + std::to_string(now) + ": " + text;
}

bool Dram::idle() const {
    for (const Port& port : ports_)
        if (port.reads.size() || port.writes.size()) return false;
    return true;
}

bool Dram::stalled(Stall channel) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return (random_ >> 16 & 0xFFFFFFFFull) < threshold_[channel];
}

uint8_t Dram::response(uint64_t first, uint64_t last, bool write) const {
    if (!inside(first, last)) return 3;
    for (const Fault& f : faults_)
        if ((write ? f.writes : f.reads) && first <= f.last && last >= f.first) return f.response;
    return 0;
}

void Dram::check_address(int port, const char* name, const Address& a, bool write) {
    const uint64_t bytes = uint64_t{a.length + 1} * beat_bytes_, last = a.address + bytes - 1;
    const unsigned long long shown = a.address;
    if (a.length >= MAX_BEATS)
        fail("port %d: %s burst at %#llx has %u beats, the limit is 16", port, name, shown,
             a.length + 1);
    if (1u << a.size != beat_bytes_)
        fail("port %d: %s burst at %#llx has %u-byte beats, the port has %u-byte beats", port, name,
             shown, 1u << a.size, beat_bytes_);
    if (a.burst != 1)
        fail("port %d: %s burst at %#llx has burst type %u, not 1 (INCR)", port, name, shown, a.burst);
    if (a.lock) fail("port %d: %s burst at %#llx is locked", port, name, shown);
    if (a.id) fail("port %d: %s burst at %#llx has id %u, not 0", port, name, shown, a.id);
    if (a.address % beat_bytes_)
        fail("port %d: %s burst at %#llx is not aligned to its %u-byte beats", port, name, shown,
             beat_bytes_);
    if (a.address >> 12 != last >> 12)
        fail("port %d: %s burst at %#llx of %u beats crosses a 4 KiB boundary", port, name, shown,
             a.length + 1);
    if (!inside(a.address, last))
        fail("port %d: %s burst at %#llx of %u beats is outside the memory", port, name, shown,
             a.length + 1);
    else if (!write && (a.address < window_first_ || last >= window_end_))
        fail("port %d: %s burst at %#llx of %u beats is outside the arena", port, name, shown,
             a.length + 1);
}

// What was handed over in this cycle.
void Dram::handshakes(int p, const MasterPins& in) {
    Port& port = ports_[p];
    SlavePins& out = port.out;

    if (in.arvalid) {
        if (port.ar_held && !(in.ar == port.ar))
            fail("port %d: the AR payload changed before ARREADY", p);
        port.ar = in.ar;
        port.ar_held = !out.arready;
        if (out.arready) {
            check_address(p, "read", in.ar, false);
            Burst& burst = port.reads.push();
            burst.address = in.ar.address;
            burst.due = now + params_.read_latency;
            burst.number = stats.read_bursts++;
            burst.beats = in.ar.length + 1;
            burst.beat = 0;
        }
    } else if (port.ar_held) {
        fail("port %d: ARVALID fell before ARREADY", p);
        port.ar_held = false;
    }

    if (in.awvalid) {
        if (port.aw_held && !(in.aw == port.aw))
            fail("port %d: the AW payload changed before AWREADY", p);
        port.aw = in.aw;
        port.aw_held = !out.awready;
        if (out.awready) {
            check_address(p, "write", in.aw, true);
            Burst& burst = port.writes.push();
            burst.address = in.aw.address;
            burst.number = stats.write_bursts++;
            burst.beats = in.aw.length + 1;
            burst.beat = 0;
            burst.complete = false;
        }
    } else if (port.aw_held) {
        fail("port %d: AWVALID fell before AWREADY", p);
        port.aw_held = false;
    }

    if (in.wvalid) {
        if (port.w_held
            && (memcmp(in.w.data, port.w.data, beat_bytes_) || in.w.strobe != port.w.strobe
                || in.w.last != port.w.last || in.w.id != port.w.id))
            fail("port %d: the W payload changed before WREADY", p);
        port.w = in.w;
        port.w_held = !out.wready;
        if (out.wready) {
            out.wready = false;
            Burst& burst = port.writes.at(port.filling);
            const bool last = burst.beat + 1 == burst.beats;
            if (in.w.id) fail("port %d: WID is %u, not 0", p, in.w.id);
            if (in.w.last != last)
                fail("port %d: WLAST is %u at beat %u of %u of the burst at %#llx", p, in.w.last,
                     burst.beat + 1, burst.beats, static_cast<unsigned long long>(burst.address));
            if (burst.beat < MAX_BEATS) {
                burst.strobe[burst.beat] = in.w.strobe;
                memcpy(burst.data + burst.beat * beat_bytes_, in.w.data, beat_bytes_);
            }
            burst.beat++;
            stats.written_bytes += __builtin_popcount(in.w.strobe);
            if (last) {
                burst.complete = true;
                burst.due = now + params_.write_latency;
                port.filling++;
            }
        }
    } else if (port.w_held) {
        fail("port %d: WVALID fell before WREADY", p);
        port.w_held = false;
    }

    if (out.rvalid && in.rready) {
        stats.read_bytes += beat_bytes_;
        out.rvalid = false;
        if (out.rlast) port.reads.pop();
        memset(out.rdata, 0x5A, beat_bytes_);
    }
    if (out.bvalid && in.bready) {
        out.bvalid = false;
        port.b_driven = false;
        port.writes.pop();
        port.filling--;
    }

    const uint32_t reads = port.reads.size(), writes = port.writes.size();
    if (reads > stats.max_reads) stats.max_reads = reads;
    if (writes > stats.max_writes) stats.max_writes = writes;
    if (params_.max_reads && reads > params_.max_reads)
        fail("port %d: %u reads are outstanding, the limit is %u", p, reads, params_.max_reads);
    if (params_.max_writes && writes > params_.max_writes)
        fail("port %d: %u writes are outstanding, the limit is %u", p, writes, params_.max_writes);
}

// A beat could go out in the next cycle.
bool Dram::wants_read(Port& port) {
    if (port.out.rvalid || !port.reads.size()) return false;
    const Burst& burst = port.reads.at(0);
    return burst.beat < burst.beats && burst.due <= now + 1
           && (hang_reads_ < 0 || burst.number < static_cast<uint64_t>(hang_reads_))
           && !(stalling_ && stalled(R));
}

// A beat could be taken in the next cycle; an unused grant is kept until it is.
bool Dram::wants_write(Port& port) {
    return !port.out.wready && port.filling < port.writes.size() && !(stalling_ && stalled(W));
}

void Dram::read_beat(Port& port) {
    Burst& burst = port.reads.at(0);
    SlavePins& out = port.out;
    const uint64_t address = burst.address + uint64_t{burst.beat} * beat_bytes_;
    out.rresp = response(address, address + beat_bytes_ - 1, false);
    if (out.rresp)
        memset(out.rdata, 0xEE, beat_bytes_);
    else
        memcpy(out.rdata, memory_ + (address - params_.memory_base), beat_bytes_);
    out.rlast = ++burst.beat == burst.beats;
    out.rvalid = true;
}

// The oldest write becomes visible in memory with its response, not before.
void Dram::respond(Port& port) {
    if (port.b_driven || !port.writes.size()) return;
    Burst& burst = port.writes.at(0);
    if (!burst.complete || burst.due > now + 1) return;
    if (hang_writes_ >= 0 && burst.number >= static_cast<uint64_t>(hang_writes_)) return;
    if (stalling_ && stalled(B)) return;
    const uint64_t bytes = uint64_t{burst.beats} * beat_bytes_;
    port.out.bresp = response(burst.address, burst.address + bytes - 1, true);
    if (port.out.bresp == 0) {
        const uint32_t full = (1u << beat_bytes_) - 1;
        uint8_t* target = memory_ + (burst.address - params_.memory_base);
        for (uint32_t i = 0; i < burst.beats && i < MAX_BEATS; i++, target += beat_bytes_) {
            const uint8_t* source = burst.data + i * beat_bytes_;
            if (burst.strobe[i] == full)
                memcpy(target, source, beat_bytes_);
            else
                for (uint32_t b = 0; b < beat_bytes_; b++)
                    if (burst.strobe[i] >> b & 1) target[b] = source[b];
        }
    }
    port.out.bvalid = true;
    port.b_driven = true;
}

void Dram::cycle(const MasterPins* in, bool in_reset) {
    if (in_reset) {
        reset_cycles_++;
        for (int p = 0; p < count_ && reset_cycles_ > 2; p++)
            if (in[p].arvalid || in[p].awvalid || in[p].wvalid)
                fail("port %d: a valid signal is high in reset", p);
        now++;
        return;
    }
    for (int p = 0; p < count_; p++) handshakes(p, in[p]);

    // Beats of the next cycle share the deliverable rate: the first client without credit is served
    // first as soon as there is some.
    const int64_t price = int64_t{1000} * beat_bytes_;
    const bool limited = params_.rate_millibytes != 0;
    credit_ += static_cast<int64_t>(params_.rate_millibytes);
    if (credit_ > cap_) credit_ = cap_;
    const int clients = 2 * count_, start = turn_;
    for (int i = 0; i < clients; i++) {
        const int client = (start + i) % clients;
        Port& port = ports_[client >> 1];
        const bool write = client & 1;
        if (!(write ? wants_write(port) : wants_read(port))) continue;
        if (limited && credit_ < price) {
            turn_ = client;
            break;
        }
        if (limited) credit_ -= price;
        if (write)
            port.out.wready = true;
        else
            read_beat(port);
    }
    for (Port& port : ports_) {
        respond(port);
        port.out.arready = port.reads.size() < params_.queue && !(stalling_ && stalled(AR));
        port.out.awready = port.writes.size() < params_.queue && !(stalling_ && stalled(AW));
    }
    now++;
}

}  // namespace weft
