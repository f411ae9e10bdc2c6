// Stand-in for the PS7 primitive of Zynq-7000 and its clock buffer, for simulation: clock 0 and reset 0,
// a master on M_AXI_GP0 with the habits of the hard one (12-bit identifiers that change, address and
// data in any order, bursts), and the S_AXI_HP ports as pins. A bench reaches in by hierarchical names:
// it drives the inputs `ext_*` and the outputs SAXIHP*, and reads the inputs SAXIHP*.
// An answer with a foreign identifier, or RLAST at the wrong beat, ends the simulation.

module BUFG (input I, output O);
    assign O = I;
endmodule

module PS7 (
    output [3:0] FCLKCLK, FCLKRESETN,
    input [3:0] FCLKCLKTRIGN, DDRARB, input FPGAIDLEN, input [19:0] IRQF2P,
    input MAXIGP0ACLK,
    output reg MAXIGP0AWVALID, MAXIGP0WVALID, MAXIGP0BREADY, MAXIGP0ARVALID, MAXIGP0RREADY,
    output reg [11:0] MAXIGP0AWID, MAXIGP0ARID,
    output reg [31:0] MAXIGP0AWADDR, MAXIGP0ARADDR, MAXIGP0WDATA,
    output reg [3:0] MAXIGP0AWLEN, MAXIGP0ARLEN, MAXIGP0WSTRB,
    output reg [1:0] MAXIGP0AWSIZE, MAXIGP0ARSIZE, MAXIGP0AWBURST, MAXIGP0ARBURST,
    input MAXIGP0AWREADY, MAXIGP0WREADY, MAXIGP0BVALID, MAXIGP0ARREADY, MAXIGP0RVALID, MAXIGP0RLAST,
    input [11:0] MAXIGP0BID, MAXIGP0RID, input [1:0] MAXIGP0BRESP, MAXIGP0RRESP,
    input [31:0] MAXIGP0RDATA,
`define HP(n) \
    input SAXIHP``n``ACLK, SAXIHP``n``ARVALID, SAXIHP``n``AWVALID, SAXIHP``n``WVALID, \
    input SAXIHP``n``WLAST, SAXIHP``n``RREADY, SAXIHP``n``BREADY, \
    input SAXIHP``n``RDISSUECAP1EN, SAXIHP``n``WRISSUECAP1EN, \
    input [31:0] SAXIHP``n``ARADDR, SAXIHP``n``AWADDR, \
    input [3:0] SAXIHP``n``ARLEN, SAXIHP``n``AWLEN, SAXIHP``n``ARCACHE, SAXIHP``n``AWCACHE, \
    input [3:0] SAXIHP``n``ARQOS, SAXIHP``n``AWQOS, \
    input [1:0] SAXIHP``n``ARSIZE, SAXIHP``n``AWSIZE, SAXIHP``n``ARBURST, SAXIHP``n``AWBURST, \
    input [1:0] SAXIHP``n``ARLOCK, SAXIHP``n``AWLOCK, input [2:0] SAXIHP``n``ARPROT, SAXIHP``n``AWPROT, \
    input [5:0] SAXIHP``n``ARID, SAXIHP``n``AWID, SAXIHP``n``WID, \
    input [63:0] SAXIHP``n``WDATA, input [7:0] SAXIHP``n``WSTRB, \
    output SAXIHP``n``ARREADY, SAXIHP``n``AWREADY, SAXIHP``n``WREADY, \
    output SAXIHP``n``RVALID, SAXIHP``n``RLAST, SAXIHP``n``BVALID, \
    output [1:0] SAXIHP``n``RRESP, SAXIHP``n``BRESP, output [5:0] SAXIHP``n``RID, SAXIHP``n``BID, \
    output [63:0] SAXIHP``n``RDATA
    `HP(0), `HP(1), `HP(2), `HP(3)
);
    // What the bench drives: clock, reset, and register accesses as AXI4-Lite does them.
    wire ext_clock, ext_reset_n;
    wire [31:0] ext_awaddr, ext_araddr, ext_wdata;
    wire [3:0] ext_wstrb;
    wire ext_awvalid, ext_wvalid, ext_bready, ext_arvalid, ext_rready;
    // What it reads.
    wire ext_aw_wready, ext_arready;
    reg ext_bvalid, ext_rvalid;
    reg [1:0] ext_bresp, ext_rresp;
    reg [31:0] ext_rdata;

    assign FCLKCLK = {3'b000, ext_clock};
    assign FCLKRESETN = {3'b000, ext_reset_n};

    // Software does nothing for a while after the reset.
    reg [4:0] quiet;
    reg [15:0] random;
    reg [3:0] beat;
    reg writing, reading;
    assign ext_aw_wready = &quiet && !writing && !ext_bvalid && ext_awvalid && ext_wvalid;
    assign ext_arready = &quiet && !reading && !ext_rvalid && ext_arvalid;

    always @(posedge MAXIGP0ACLK) begin
        random <= {random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]};
        if (!(&quiet)) quiet <= quiet + 1;

        if (ext_aw_wready) begin
            writing <= 1;
            MAXIGP0AWID <= random[11:0];
            MAXIGP0AWADDR <= ext_awaddr;
            MAXIGP0AWLEN <= 0;
            MAXIGP0AWSIZE <= 2;
            MAXIGP0AWBURST <= 1;
            MAXIGP0WDATA <= ext_wdata;
            MAXIGP0WSTRB <= ext_wstrb;
            // The address first, the data first, or both.
            MAXIGP0AWVALID <= random[13:12] != 1;
            MAXIGP0WVALID <= random[13:12] != 2;
        end else if (writing) begin
            if (MAXIGP0AWVALID && MAXIGP0AWREADY) MAXIGP0AWVALID <= 0;
            if (MAXIGP0WVALID && MAXIGP0WREADY) MAXIGP0WVALID <= 0;
            // What was held back follows one cycle later.
            if (!MAXIGP0BREADY) begin
                MAXIGP0BREADY <= 1;
                if (!MAXIGP0AWVALID) MAXIGP0AWVALID <= 1;
                if (!MAXIGP0WVALID) MAXIGP0WVALID <= 1;
            end
            if (MAXIGP0BVALID && MAXIGP0BREADY) begin
                if (MAXIGP0BID != MAXIGP0AWID) $fatal(1, "PS7: BID is not the AWID");
                if (MAXIGP0AWVALID || MAXIGP0WVALID) $fatal(1, "PS7: BVALID before the write");
                writing <= 0;
                MAXIGP0BREADY <= 0;
                ext_bresp <= MAXIGP0BRESP;
                ext_bvalid <= 1;
            end
        end
        if (ext_bvalid && ext_bready) ext_bvalid <= 0;

        if (ext_arready) begin
            reading <= 1;
            beat <= 0;
            MAXIGP0ARID <= random[12:1];
            MAXIGP0ARADDR <= ext_araddr;
            // The same register up to four times: a fixed burst.
            MAXIGP0ARLEN <= {2'b00, random[14:13]};
            MAXIGP0ARSIZE <= 2;
            MAXIGP0ARBURST <= 0;
            MAXIGP0ARVALID <= 1;
            MAXIGP0RREADY <= 1;
        end else if (reading) begin
            if (MAXIGP0ARVALID && MAXIGP0ARREADY) MAXIGP0ARVALID <= 0;
            if (MAXIGP0RVALID && MAXIGP0RREADY) begin
                if (MAXIGP0RID != MAXIGP0ARID) $fatal(1, "PS7: RID is not the ARID");
                if (MAXIGP0RLAST != (beat == MAXIGP0ARLEN)) $fatal(1, "PS7: RLAST at a wrong beat");
                beat <= beat + 1;
                ext_rdata <= MAXIGP0RDATA;
                ext_rresp <= MAXIGP0RRESP;
                if (MAXIGP0RLAST) begin
                    reading <= 0;
                    MAXIGP0RREADY <= 0;
                    ext_rvalid <= 1;
                end
            end
        end
        if (ext_rvalid && ext_rready) ext_rvalid <= 0;

        if (!ext_reset_n) begin
            quiet <= 0;
            {writing, reading, ext_bvalid, ext_rvalid} <= 0;
            {MAXIGP0AWVALID, MAXIGP0WVALID, MAXIGP0BREADY, MAXIGP0ARVALID, MAXIGP0RREADY} <= 0;
            if (random == 0) random <= 16'hACE1;
        end
    end
endmodule
