// Runs the bench for a number of cycles, or until an instance differs: bench CYCLES FAULT.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vbench.h"
#include "verilated.h"

int main(int argc, char** argv) {
    static const char* const names[] = {"pair_ours", "pair_theirs", "lane_ours", "lane_theirs"};
    if (argc < 3) return 2;
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vbench top{&context};
    const uint64_t cycles = std::strtoull(argv[1], nullptr, 10);
    top.fault = std::strtoul(argv[2], nullptr, 10);
    uint64_t sums = 0, results = 0;
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
        sums += top.sum_changed;
        results += top.result_changed;
        for (int i = 0; i < 4; ++i) {
            if (top.wrong >> i & 1) {
                std::printf("%s differs in cycle %llu\n", names[i], (unsigned long long)cycle);
                return 0;
            }
        }
    }
    std::printf("same in %llu cycles; sums %llu, results %llu\n", (unsigned long long)cycles,
                (unsigned long long)sums, (unsigned long long)results);
    return 0;
}
