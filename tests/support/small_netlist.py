"""A netlist as Yosys writes it, of a top with one adder."""

SMALL = """\
module \\weft_top.core.a.one (clk, a, b, \\port$7$0 );
  input clk;
  wire clk;
  input [7:0] a;
  wire [7:0] a;
  input [7:0] b;
  wire [7:0] b;
  output [7:0] \\port$7$0 ;
  reg [7:0] \\port$7$0 ;
  always @(posedge clk) \\port$7$0 <= a + b;
endmodule

module \\weft_top.core.a.two (clk, b, a, \\port$9$0 );
  input clk;
  wire clk;
  input [7:0] a;
  wire [7:0] a;
  input [7:0] b;
  wire [7:0] b;
  output [7:0] \\port$9$0 ;
  reg [7:0] \\port$9$0 ;
  always @(posedge clk) \\port$9$0 <= a + b;
endmodule

module weft_top(clk, a, b, y);
  input clk;
  wire clk;
  input [7:0] a;
  wire [7:0] a;
  input [7:0] b;
  wire [7:0] b;
  output [7:0] y;
  wire [7:0] y;
  wire [7:0] x;
  \\weft_top.core.a.one  one (
    .a(a),
    .b(b),
    .clk(clk),
    .\\port$7$0 (x)
  );
  \\weft_top.core.a.two  two (
    .clk(clk),
    .a(x & b),
    .b(b),
    .\\port$9$0 (y)
  );
endmodule
"""
