"""A small `weft_top` in Verilog that tests the harness: one traffic generator per port.

Registers (word index): 4 read address, 5 write address, 6 beats of a burst, 7 bursts, 8 start
(bit 0 read, bit 1 write), 9 misbehaviour, 10 status (bits 0 done, 3..2 worst RRESP, 5..4 worst
BRESP), 11 outstanding limit. Per port p, from 16 + 8p: cycles from the first AR handshake to the
first beat, to the last beat; from the last WLAST handshake to its response; from the first AW
handshake to the last response. Port p works at address + p * 65536. Reads fill a buffer; writes
send it.
"""

from __future__ import annotations

from weft_hw.config import AcceleratorConfig

READ_ADDRESS, WRITE_ADDRESS, BEATS, BURSTS, START, MISBEHAVE, STATUS, LIMIT = (
    4 * i for i in range(4, 12)
)
PORT_STEP = 65536
#: Values of the misbehaviour register.
DROP_AR, CHANGE_AR, DROP_W, CHANGE_W, EARLY_LAST, LATE_LAST, NARROW, WRONG_ID = range(1, 9)
DROP_AW = 9


def port_register(port: int, which: int) -> int:
    """Offset of latency register `which` of `port`."""
    return 4 * (16 + 8 * port + which)


_ENGINE = """
module engine #(parameter W = 64, A = 32) (
  input clk, input rst, input go_read, input go_write,
  input [A-1:0] raddr, input [A-1:0] waddr, input [4:0] beats, input [15:0] bursts,
  input [3:0] bad, input [7:0] limit,
  output reg [A-1:0] araddr, output reg arvalid, input arready,
  input [W-1:0] rdata, input [1:0] rresp, input rlast, input rvalid, output rready,
  output reg [A-1:0] awaddr, output reg awvalid, input awready,
  output [W-1:0] wdata, output wlast, output wvalid, input wready,
  input [1:0] bresp, input bvalid, output bready,
  output done, output reg [1:0] worst_r, output reg [1:0] worst_b,
  output reg [31:0] first_beat, output reg [31:0] last_beat,
  output reg [31:0] response, output reg [31:0] all_written);
  localparam B = W / 8;
  reg [W-1:0] buffer [0:1023];
  reg [15:0] ar_left, r_left, aw_left, w_left, b_left, r_open, b_open;
  reg [4:0] w_beat;
  reg [9:0] r_at, w_at;
  reg [31:0] now, ar_time, aw_time, wlast_time;
  reg ar_seen, aw_seen, r_seen, toggle;
  assign rready = 1, bready = 1;
  assign wvalid = w_left != 0 && !(bad == 3 && toggle);
  wire [W-1:0] stored = buffer[w_at];
  assign wdata = bad == 4 ? stored ^ now : stored;
  assign wlast = bad == 5 ? w_beat == 0 : bad == 6 ? 0 : w_beat + 1 == beats;
  assign done = r_left == 0 && b_left == 0;
  wire ar = arvalid & arready, aw = awvalid & awready, w = wvalid & wready;
  wire r = rvalid & rready, b = bvalid & bready;
  wire w_end = w && w_beat + 1 == beats;
  always @(posedge clk) begin
    now <= now + 1;
    toggle <= ~toggle;
    // reads
    if (ar) begin
      arvalid <= 0;
      araddr <= araddr + beats * B;
      ar_left <= ar_left - 1;
      if (!ar_seen) ar_time <= now;
      ar_seen <= 1;
    end
    if (ar_left - ar != 0 && r_open + ar - (r & rlast) < limit) arvalid <= 1;
    if (bad == 1 && arvalid && !arready) arvalid <= 0;
    if (bad == 2 && arvalid && !arready) araddr <= araddr + 4096;
    r_open <= r_open + ar - (r & rlast);
    if (r) begin
      buffer[r_at] <= rdata;
      r_at <= r_at + 1;
      if (rresp > worst_r) worst_r <= rresp;
      if (!r_seen) first_beat <= now - ar_time;
      r_seen <= 1;
      last_beat <= now - ar_time;
      if (rlast) r_left <= r_left - 1;
    end
    // writes
    if (aw) begin
      awvalid <= 0;
      awaddr <= awaddr + beats * B;
      aw_left <= aw_left - 1;
      if (!aw_seen) aw_time <= now;
      aw_seen <= 1;
    end
    if (aw_left - aw != 0 && b_open + aw - b < limit) awvalid <= 1;
    if (bad == 9 && awvalid && !awready) awvalid <= 0;
    b_open <= b_open + aw - b;
    if (w) begin
      w_at <= w_at + 1;
      w_beat <= w_end ? 0 : w_beat + 1;
      if (w_end) begin
        w_left <= w_left - 1;
        wlast_time <= now;
      end
    end
    if (b) begin
      if (bresp > worst_b) worst_b <= bresp;
      b_left <= b_left - 1;
      response <= now - wlast_time;
      all_written <= now - aw_time;
    end
    if (go_read) begin
      araddr <= raddr; ar_left <= bursts; r_left <= bursts; r_at <= 0; r_seen <= 0; ar_seen <= 0;
      worst_r <= 0;
    end
    if (go_write) begin
      awaddr <= waddr; aw_left <= bursts; w_left <= bursts; b_left <= bursts; w_at <= 0;
      w_beat <= 0; aw_seen <= 0; worst_b <= 0;
    end
    if (rst) begin
      arvalid <= 0; awvalid <= 0; ar_left <= 0; r_left <= 0; aw_left <= 0; w_left <= 0; b_left <= 0;
      r_open <= 0; b_open <= 0; now <= 0; toggle <= 0; w_beat <= 0; worst_r <= 0; worst_b <= 0;
    end
  end
endmodule
"""


def _port(p: int, config: AcceleratorConfig) -> tuple[list[str], str]:
    w, a, n = config.axi_data_bits, config.axi_address_bits, f"m_axi{p}_"
    axi3 = config.axi_protocol == "axi3"
    length, lock = (4, 2) if axi3 else (8, 1)
    size = config.beat_bytes.bit_length() - 1
    pins = []
    for c in ("ar", "aw"):
        pins += [
            f"output [{a - 1}:0] {n}{c}addr", f"output [{length - 1}:0] {n}{c}len",
            f"output [2:0] {n}{c}size", f"output [1:0] {n}{c}burst",
            f"output [{lock - 1}:0] {n}{c}lock", f"output [3:0] {n}{c}cache",
            f"output [2:0] {n}{c}prot", f"output [3:0] {n}{c}qos", f"output [0:0] {n}{c}id",
            f"output {n}{c}valid", f"input {n}{c}ready",
        ]
    pins += [
        f"input [{w - 1}:0] {n}rdata", f"input [1:0] {n}rresp", f"input [0:0] {n}rid",
        f"input {n}rlast", f"input {n}rvalid", f"output {n}rready",
        f"output [{w - 1}:0] {n}wdata", f"output [{w // 8 - 1}:0] {n}wstrb", f"output {n}wlast",
        f"output {n}wvalid", f"input {n}wready",
        f"input [1:0] {n}bresp", f"input [0:0] {n}bid", f"input {n}bvalid", f"output {n}bready",
    ]
    pins += [f"output [0:0] {n}wid"] if axi3 else []
    body = "".join(
        f"  assign {n}{c}len = r6 - 1, {n}{c}size = r9 == 7 ? 2 : {size}, {n}{c}burst = 1;\n"
        f"  assign {n}{c}lock = 0, {n}{c}cache = 3, {n}{c}prot = 0, {n}{c}qos = 0;\n"
        f"  assign {n}{c}id = r9 == 8;\n"
        for c in ("ar", "aw")
    )
    body += f"  assign {n}wid = 0;\n" if axi3 else ""
    wires = "".join(
        f", .{s}({n}{s})"
        for s in (
            "araddr arvalid arready rdata rresp rlast rvalid rready awaddr awvalid awready wdata "
            "wlast wvalid wready bresp bvalid bready"
        ).split()
    )
    body += (
        f"  assign {n}wstrb = {{{w // 8}{{1'b1}}}};\n"
        f"  wire [31:0] t{p}_0, t{p}_1, t{p}_2, t{p}_3; wire done{p}; wire [1:0] wr{p}, wb{p};\n"
        f"  engine #(.W({w}), .A({a})) engine{p} (.clk(aclk), .rst(!aresetn), .go_read(go[0]),\n"
        f"    .go_write(go[1]), .raddr(base + r4 + {p * PORT_STEP}),\n"
        f"    .waddr(base + r5 + {p * PORT_STEP}), .beats(r6[4:0]), .bursts(r7[15:0]),\n"
        f"    .bad(r9[3:0]), .limit(r11[7:0]), .done(done{p}), .worst_r(wr{p}), .worst_b(wb{p}),\n"
        f"    .first_beat(t{p}_0), .last_beat(t{p}_1), .response(t{p}_2),\n"
        f"    .all_written(t{p}_3){wires});\n"
    )
    return pins, body


def stub(config: AcceleratorConfig, base: int) -> str:
    """Verilog of the stub with the ports of `config`; addresses count from `base`."""
    pins = ["input aclk", "input aresetn", "output irq"]
    pins += [f"input [11:0] s_axil_{c}addr, input [2:0] s_axil_{c}prot, input s_axil_{c}valid, "
             f"output s_axil_{c}ready" for c in ("aw", "ar")]
    pins += ["input [31:0] s_axil_wdata", "input [3:0] s_axil_wstrb", "input s_axil_wvalid",
             "output s_axil_wready", "output [1:0] s_axil_bresp", "output reg s_axil_bvalid",
             "input s_axil_bready", "output reg [31:0] s_axil_rdata", "output [1:0] s_axil_rresp",
             "output reg s_axil_rvalid", "input s_axil_rready"]
    bodies, ports = "", range(config.axi_ports)
    for p in ports:
        more, body = _port(p, config)
        pins += more
        bodies += body
    done = " & ".join(f"done{p}" for p in ports)
    worst_r, worst_b = (" | ".join(f"{n}{p}" for p in ports) for n in ("wr", "wb"))
    times = "".join(
        f"      {16 + 8 * p + i}: s_axil_rdata <= t{p}_{i};\n" for p in ports for i in range(4)
    )
    writes = "".join(f"      {i}: r{i} <= s_axil_wdata;\n" for i in (4, 5, 6, 7, 9, 11))
    return f"""{_ENGINE}
module weft_top (
  {(","+chr(10)+"  ").join(pins)});
  wire [{config.axi_address_bits - 1}:0] base = {config.axi_address_bits}'h{base:x};
  reg [31:0] r4, r5, r6, r7, r9, r11; reg [1:0] go; reg ran;
  wire done = {done};
  assign irq = ran & done & go == 0;
  assign s_axil_awready = s_axil_awvalid & s_axil_wvalid & ~s_axil_bvalid;
  assign s_axil_wready = s_axil_awready, s_axil_bresp = s_axil_awaddr == 0 ? 2 : 0;
  assign s_axil_arready = ~s_axil_rvalid, s_axil_rresp = 0;
{bodies}
  always @(posedge aclk) begin
    go <= 0;
    if (s_axil_bready) s_axil_bvalid <= 0;
    if (s_axil_awready) begin
      s_axil_bvalid <= 1;
      case (s_axil_awaddr[11:2])
{writes}
      8: begin go <= s_axil_wdata[1:0]; ran <= 1; end
      endcase
    end
    if (s_axil_rready) s_axil_rvalid <= 0;
    if (s_axil_arvalid & s_axil_arready) begin
      s_axil_rvalid <= 1;
      s_axil_rdata <= 0;
      case (s_axil_araddr[11:2])
      0: s_axil_rdata <= 32'h57454654;
      4: s_axil_rdata <= r4;
      10: s_axil_rdata <= {{{worst_b}, {worst_r}, 1'b0, done}};
{times}
      endcase
    end
    if (!aresetn) begin
      go <= 0; ran <= 0; s_axil_bvalid <= 0; s_axil_rvalid <= 0; r9 <= 0; r11 <= 16;
    end
  end
endmodule
"""
