// The Verilated `weft_top` with its memory, as a C library for ctypes. No Python in the clock loop.
#include "Vweft_top.h"
#include "dram.h"
#include "weft_ports.h"
#include <memory>
#include <type_traits>
#include <verilated.h>
#if VM_TRACE
#include <verilated_vcd_c.h>
#endif

namespace {

using weft::MasterPins;
using weft::SlavePins;

#define WEFT_COMMON_PINS(X, p) \
    X(p, araddr) X(p, arlen) X(p, arsize) X(p, arburst) X(p, arlock) X(p, arcache) \
    X(p, arprot) X(p, arqos) X(p, arid) X(p, arvalid) X(p, arready) X(p, rdata) X(p, rresp) \
    X(p, rid) X(p, rlast) X(p, rvalid) X(p, rready) X(p, awaddr) X(p, awlen) X(p, awsize) \
    X(p, awburst) X(p, awlock) X(p, awcache) X(p, awprot) X(p, awqos) X(p, awid) \
    X(p, awvalid) X(p, awready) X(p, wdata) X(p, wstrb) X(p, wlast) X(p, wvalid) \
    X(p, wready) X(p, bresp) X(p, bid) X(p, bvalid) X(p, bready)
#if WEFT_AXI3
#define WEFT_PINS(X, p) WEFT_COMMON_PINS(X, p) X(p, wid)
#else
#define WEFT_PINS(X, p) WEFT_COMMON_PINS(X, p)
#endif
// Types of the pins differ with their widths; all ports are alike, so port 0 gives them.
#define WEFT_TYPE(p, name) \
    std::remove_reference_t<decltype((std::declval<Vweft_top&>().m_axi##p##_##name))>* name;
#define WEFT_BIND(p, name) pins_[p].name = &top_->m_axi##p##_##name;
#define WEFT_BIND_PORT(p) WEFT_PINS(WEFT_BIND, p)

struct Pins {
    WEFT_PINS(WEFT_TYPE, 0)

    void sample(MasterPins& m) const {
        m.arvalid = *arvalid;
        m.awvalid = *awvalid;
        m.wvalid = *wvalid;
        m.rready = *rready;
        m.bready = *bready;
        if (m.arvalid)
            m.ar = {*araddr, *arlen, *arsize, *arburst, *arlock, *arcache, *arprot, *arqos, *arid};
        if (m.awvalid)
            m.aw = {*awaddr, *awlen, *awsize, *awburst, *awlock, *awcache, *awprot, *awqos, *awid};
        if (m.wvalid) {
            memcpy(m.w.data, wdata, WEFT_BEAT_BYTES);
            m.w.strobe = *wstrb;
            m.w.last = *wlast;
#if WEFT_AXI3
            m.w.id = *wid;
#endif
        }
    }

    void drive(const SlavePins& s) {
        *arready = s.arready;
        *awready = s.awready;
        *wready = s.wready;
        *rvalid = s.rvalid;
        *bvalid = s.bvalid;
        memcpy(rdata, s.rdata, WEFT_BEAT_BYTES);
        *rresp = s.rresp;
        *rlast = s.rlast;
        *bresp = s.bresp;
        *rid = 0;
        *bid = 0;
    }
};

class Simulation {
  public:
    Simulation(const weft::Params& params, uint8_t* memory)
        : dram(params, memory, WEFT_PORTS, WEFT_BEAT_BYTES), context_(new VerilatedContext),
          top_(new Vweft_top(context_.get())) {
#if VM_TRACE
        context_->traceEverOn(true);
#endif
        context_->assertOn(false);
        WEFT_EACH_PORT(WEFT_BIND_PORT)
        top_->aclk = 0;
        top_->s_axil_awprot = top_->s_axil_arprot = 0;
        reset(8);
    }
    ~Simulation() {
        trace_stop();
        top_->final();
    }

    void reset(int cycles) {
        top_->aresetn = 0;
        top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_arvalid = 0;
        top_->s_axil_bready = top_->s_axil_rready = 0;
        dram.reset();
        drive();
        settle();
        for (int i = 0; i < cycles; i++) step();
        top_->aresetn = 1;
        settle();
    }

    // A reset of the core alone: the memory goes on, and gives what it owes.
    void reset_alone(int cycles) {
        top_->aresetn = 0;
        memory_lives_ = true;
        settle();
        for (int i = 0; i < cycles; i++) step();
        top_->aresetn = 1;
        memory_lives_ = false;
        settle();
    }

    // Runs until the interrupt, a protocol error, or the limit.
    uint64_t run(uint64_t limit, bool until_irq) {
        const uint64_t start = dram.now;
        while (dram.now - start < limit && dram.error.empty() && !(until_irq && top_->irq)) step();
        return dram.now - start;
    }

    // One AXI4-Lite write; returns BRESP, or -1 when there was no answer.
    int write_register(uint32_t offset, uint32_t value) {
        Vweft_top& t = *top_;
        t.s_axil_awaddr = offset;
        t.s_axil_wdata = value;
        t.s_axil_wstrb = 0xF;
        t.s_axil_awvalid = t.s_axil_wvalid = t.s_axil_bready = 1;
        for (int i = 0; i < REGISTER_LIMIT; i++) {
            settle();
            const bool aw = t.s_axil_awvalid && t.s_axil_awready;
            const bool w = t.s_axil_wvalid && t.s_axil_wready;
            const bool b = t.s_axil_bvalid;
            const int response = t.s_axil_bresp;
            step();
            if (aw) t.s_axil_awvalid = 0;
            if (w) t.s_axil_wvalid = 0;
            if (b) {
                if (t.s_axil_awvalid || t.s_axil_wvalid)
                    dram.fail("s_axil: BVALID came before address and data were taken");
                t.s_axil_awvalid = t.s_axil_wvalid = t.s_axil_bready = 0;
                settle();
                return response;
            }
        }
        t.s_axil_awvalid = t.s_axil_wvalid = t.s_axil_bready = 0;
        settle();
        return -1;
    }

    // One AXI4-Lite read; returns RRESP, or -1 when there was no answer.
    int read_register(uint32_t offset, uint32_t* value) {
        Vweft_top& t = *top_;
        t.s_axil_araddr = offset;
        t.s_axil_arvalid = t.s_axil_rready = 1;
        for (int i = 0; i < REGISTER_LIMIT; i++) {
            settle();
            const bool ar = t.s_axil_arvalid && t.s_axil_arready;
            const bool r = t.s_axil_rvalid;
            const int response = t.s_axil_rresp;
            *value = t.s_axil_rdata;
            step();
            if (ar) t.s_axil_arvalid = 0;
            if (r) {
                if (t.s_axil_arvalid) dram.fail("s_axil: RVALID came before the address was taken");
                t.s_axil_arvalid = t.s_axil_rready = 0;
                settle();
                return response;
            }
        }
        t.s_axil_arvalid = t.s_axil_rready = 0;
        settle();
        return -1;
    }

    bool irq() const { return top_->irq; }

    bool trace_start(const char* path) {
#if VM_TRACE
        trace_stop();
        trace_.reset(new VerilatedVcdC);
        top_->trace(trace_.get(), 99);
        trace_->open(path);
        return trace_->isOpen();
#else
        (void)path;
        return false;
#endif
    }
    void trace_stop() {
#if VM_TRACE
        if (trace_) trace_->close();
        trace_.reset();
#endif
    }

    weft::Dram dram;

  private:
    static constexpr int REGISTER_LIMIT = 1000;

    bool memory_lives_ = false;

    // Combinational logic after a change of inputs; the clock is low.
    void settle() { top_->eval(); }

    void drive() {
        for (int p = 0; p < WEFT_PORTS; p++) pins_[p].drive(dram.pins(p));
    }

    // From just before one rising edge to just before the next.
    void step() {
        MasterPins* const in = in_;
        for (int p = 0; p < WEFT_PORTS; p++) pins_[p].sample(in[p]);
        dram.cycle(in, !top_->aresetn && !memory_lives_);
        top_->aclk = 1;
        top_->eval();
#if VM_TRACE
        if (trace_) trace_->dump(2 * dram.now);
#endif
        drive();
        top_->aclk = 0;
        top_->eval();
#if VM_TRACE
        if (trace_) trace_->dump(2 * dram.now + 1);
#endif
    }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vweft_top> top_;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
    Pins pins_[WEFT_PORTS];
    MasterPins in_[WEFT_PORTS];
};

}  // namespace

#define WEFT_API extern "C" __attribute__((visibility("default")))

WEFT_API void* weft_create(const weft::Params* params, uint8_t* memory) {
    return new Simulation(*params, memory);
}
WEFT_API void weft_destroy(void* sim) { delete static_cast<Simulation*>(sim); }
WEFT_API void weft_reset(void* sim, int cycles) { static_cast<Simulation*>(sim)->reset(cycles); }
WEFT_API void weft_reset_alone(void* sim, int cycles) {
    static_cast<Simulation*>(sim)->reset_alone(cycles);
}
WEFT_API uint64_t weft_run(void* sim, uint64_t limit, int until_irq) {
    return static_cast<Simulation*>(sim)->run(limit, until_irq);
}
WEFT_API int weft_write(void* sim, uint32_t offset, uint32_t value) {
    return static_cast<Simulation*>(sim)->write_register(offset, value);
}
WEFT_API int weft_read(void* sim, uint32_t offset, uint32_t* value) {
    return static_cast<Simulation*>(sim)->read_register(offset, value);
}
WEFT_API int weft_irq(void* sim) { return static_cast<Simulation*>(sim)->irq(); }
WEFT_API int weft_idle(void* sim) { return static_cast<Simulation*>(sim)->dram.idle(); }
WEFT_API uint64_t weft_cycle(void* sim) { return static_cast<Simulation*>(sim)->dram.now; }
WEFT_API const char* weft_error(void* sim) {
    return static_cast<Simulation*>(sim)->dram.error.c_str();
}
WEFT_API void weft_clear_error(void* sim) { static_cast<Simulation*>(sim)->dram.error.clear(); }
WEFT_API void weft_stats(void* sim, weft::Stats* stats) {
    *stats = static_cast<Simulation*>(sim)->dram.stats;
}
WEFT_API void weft_stalls(void* sim, uint64_t seed, const double* probability) {
    static_cast<Simulation*>(sim)->dram.set_stalls(seed, probability);
}
WEFT_API void weft_window(void* sim, uint64_t first, uint64_t end) {
    static_cast<Simulation*>(sim)->dram.set_window(first, end);
}
WEFT_API void weft_fault(void* sim, uint64_t first, uint64_t last, int response, int reads,
                         int writes) {
    static_cast<Simulation*>(sim)->dram.add_fault(
        {first, last, static_cast<uint8_t>(response), reads != 0, writes != 0});
}
WEFT_API void weft_hang(void* sim, int64_t reads_from, int64_t writes_from) {
    static_cast<Simulation*>(sim)->dram.hang(reads_from, writes_from);
}
WEFT_API void weft_clear_faults(void* sim) { static_cast<Simulation*>(sim)->dram.clear_faults(); }
WEFT_API int weft_trace(void* sim, const char* path) {
    return static_cast<Simulation*>(sim)->trace_start(path);
}
WEFT_API void weft_trace_stop(void* sim) { static_cast<Simulation*>(sim)->trace_stop(); }
