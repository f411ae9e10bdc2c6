// Random inputs for a pair of columns and a requantise lane, each in several forms; wrong[i] where
// form i differs. Fault n inverts an input bit of form n now and then.

module bench #(
    parameter integer ROWS = 8, SEGMENTS = 1, REGIONS = 2, BITS = 19
) (
    input clk, input [2:0] fault,
    output reg [3:0] wrong, output reg sum_changed, result_changed
);
    reg [31:0] cycle = 0;
    // Registers are full, and old contents gone, after this many cycles of random enables.
    wire settled = cycle > 16 * ROWS + 64;
    wire extreme = cycle[6:5] == 2;
    wire hit = settled && cycle[9:0] == 0;

    reg [8*ROWS-1:0] act = 0;
    reg [16*SEGMENTS-1:0] weight = 0;
    reg [ROWS-1:0] swap = 0;
    reg [REGIONS-1:0] shift = 0, copy = 0;
    reg [31:0] acc = 0;
    reg [16:0] multiplier = 0;
    reg [5:0] places = 0;
    reg [67:0] setup = 0;
    reg [8:0] residual = 0;
    reg residual_en = 0;
    reg [5:0] residual_places = 0;
    reg [31:0] drawn;
    integer i;

    always @(posedge clk) begin
        cycle <= cycle + 1;
        for (i = 0; i < ROWS; i = i + 1) begin
            drawn = $urandom;
            act[8*i +: 8] <= extreme ? {drawn[0], {7{~drawn[0]}}} : drawn[7:0];
            swap[i] <= drawn[8];
        end
        for (i = 0; i < 2 * SEGMENTS; i = i + 1) begin
            drawn = $urandom;
            // -127 and 127; never -128
            weight[8*i +: 8] <= extreme ? {drawn[0], {6{~drawn[0]}}, 1'b1}
                : drawn[7:0] == 8'h80 ? 8'h81 : drawn[7:0];
        end
        drawn = $urandom;
        shift <= drawn[REGIONS-1:0];
        copy <= drawn[16 +: REGIONS];
        // Accumulators of every magnitude.
        drawn = $urandom;
        acc <= $signed($urandom) >>> drawn[4:0];
        multiplier <= extreme ? {17{drawn[5]}} : drawn[31:15];
        places <= 6'(drawn[14:6] % 43);
        drawn = $urandom;
        residual <= drawn[8:0];
        residual_en <= drawn[9];
        residual_places <= 6'(drawn[18:10] % 43);
        // The residual's multiplier, bounds and zero point, with the widest bounds half of the time.
        if (cycle[5:0] == 0)
            setup <= {17'($urandom), cycle[6] ? 32'h7fff8000 : $urandom, 19'($urandom)};
    end

    localparam integer OUT = 8 * ROWS + ROWS + 2 * BITS;
    wire [OUT-1:0] portable, pair_ours, pair_theirs;
    reg [2*BITS-1:0] earlier = 0;
    // The packed forms give their sums a cycle later.
    always @(posedge clk) earlier <= portable[2*BITS-1:0];
    wire [OUT-1:0] want = {portable[OUT-1:2*BITS], earlier};

    pair_portable a(.clk(clk), .rst(1'b0), .act(act), .weight(weight), .swap(swap), .shift(shift),
        .copy(copy), .act_next(portable[OUT-1 -: 8*ROWS]), .swap_next(portable[2*BITS +: ROWS]),
        .psum(portable[2*BITS-1:0]));
    pair_ours b(.clk(clk), .rst(1'b0), .act(act ^ (8*ROWS)'(hit && fault == 1)), .weight(weight),
        .swap(swap), .shift(shift), .copy(copy), .act_next(pair_ours[OUT-1 -: 8*ROWS]),
        .swap_next(pair_ours[2*BITS +: ROWS]), .psum(pair_ours[2*BITS-1:0]));
    pair_theirs c(.clk(clk), .rst(1'b0), .act(act ^ (8*ROWS)'(hit && fault == 2)), .weight(weight),
        .swap(swap), .shift(shift), .copy(copy), .act_next(pair_theirs[OUT-1 -: 8*ROWS]),
        .swap_next(pair_theirs[2*BITS +: ROWS]), .psum(pair_theirs[2*BITS-1:0]));

    wire [15:0] written, lane_ours, lane_theirs;
    lane_written d(.clk(clk), .rst(1'b0), .acc(acc), .multiplier(multiplier), .shift(places),
        .setup(setup), .residual(residual),
        .residual_en(residual_en), .residual_shift(residual_places), .result(written));
    lane_ours e(.clk(clk), .rst(1'b0), .acc(acc ^ {hit && fault == 3, 31'b0}),
        .multiplier(multiplier), .shift(places), .setup(setup), .residual(residual),
        .residual_en(residual_en), .residual_shift(residual_places), .result(lane_ours));
    lane_theirs f(.clk(clk), .rst(1'b0), .acc(acc ^ {hit && fault == 4, 31'b0}),
        .multiplier(multiplier), .shift(places), .setup(setup), .residual(residual),
        .residual_en(residual_en), .residual_shift(residual_places), .result(lane_theirs));

    reg [15:0] last = 0;
    always @(posedge clk) begin
        last <= written;
        sum_changed <= earlier != portable[2*BITS-1:0];
        result_changed <= last != written;
        wrong <= settled
            ? {lane_theirs != written, lane_ours != written, pair_theirs != want, pair_ours != want}
            : 4'b0;
    end
endmodule
