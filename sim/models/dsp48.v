// Behavioural DSP48E1 and DSP48E2 after UG479 and UG579, for simulation: multiplier, the registers of
// A, B, C, M and P, the X, Y, Z (and W = 0) multiplexers for products, and addition. What a parameter
// or a control input asks for beyond that ends the simulation; for Yosys it is an assertion.

`ifdef YOSYS
`define REFUSE(said) assert (0)
`else
`define REFUSE(said) $fatal(1, said)
`endif

module DSP48E1 #(
    parameter integer AREG = 1, ACASCREG = 1, BREG = 1, BCASCREG = 1, CREG = 1, DREG = 1, ADREG = 1,
    parameter integer MREG = 1, PREG = 1, ALUMODEREG = 1, CARRYINREG = 1, CARRYINSELREG = 1,
    parameter integer INMODEREG = 1, OPMODEREG = 1,
    parameter A_INPUT = "DIRECT", B_INPUT = "DIRECT", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
    parameter USE_DPORT = "FALSE", USE_PATTERN_DETECT = "NO_PATDET"
) (
    input CLK,
    input [29:0] A, ACIN, input [17:0] B, BCIN, input [47:0] C, PCIN, input [24:0] D,
    input [6:0] OPMODE, input [3:0] ALUMODE, input [4:0] INMODE, input [2:0] CARRYINSEL,
    input CARRYIN, CARRYCASCIN, MULTSIGNIN,
    input CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM, CEP, CEALUMODE, CECTRL, CECARRYIN, CEINMODE,
    input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE,
    output [47:0] P, PCOUT
);
    initial if (USE_DPORT != "FALSE") `REFUSE("DSP48E1: the pre-adder is not modelled");
    dsp48_core #(
        .OPERAND(25), .AREG(AREG), .BREG(BREG), .CREG(CREG), .MREG(MREG), .PREG(PREG),
        .CONTROL(ALUMODEREG + CARRYINREG + CARRYINSELREG + INMODEREG + OPMODEREG)
    ) core (
        .CLK(CLK), .A(A), .B(B), .C(C), .PCIN(PCIN), .OPMODE(OPMODE), .W(2'b00),
        .OTHER({ALUMODE, INMODE, CARRYINSEL, CARRYIN}),
        .CEA1(CEA1), .CEA2(CEA2), .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC), .CEM(CEM), .CEP(CEP),
        .RSTA(RSTA), .RSTB(RSTB), .RSTC(RSTC), .RSTM(RSTM), .RSTP(RSTP), .P(P)
    );
    assign PCOUT = P;
endmodule

module DSP48E2 #(
    parameter integer AREG = 1, ACASCREG = 1, BREG = 1, BCASCREG = 1, CREG = 1, DREG = 1, ADREG = 1,
    parameter integer MREG = 1, PREG = 1, ALUMODEREG = 1, CARRYINREG = 1, CARRYINSELREG = 1,
    parameter integer INMODEREG = 1, OPMODEREG = 1,
    parameter A_INPUT = "DIRECT", B_INPUT = "DIRECT", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
    parameter AMULTSEL = "A", BMULTSEL = "B", USE_PATTERN_DETECT = "NO_PATDET"
) (
    input CLK,
    input [29:0] A, ACIN, input [17:0] B, BCIN, input [47:0] C, PCIN, input [26:0] D,
    input [8:0] OPMODE, input [3:0] ALUMODE, input [4:0] INMODE, input [2:0] CARRYINSEL,
    input CARRYIN, CARRYCASCIN, MULTSIGNIN,
    input CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM, CEP, CEALUMODE, CECTRL, CECARRYIN, CEINMODE,
    input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE,
    output [47:0] P, PCOUT
);
    initial if (AMULTSEL != "A" || BMULTSEL != "B")
        `REFUSE("DSP48E2: the pre-adder is not modelled");
    dsp48_core #(
        .OPERAND(27), .AREG(AREG), .BREG(BREG), .CREG(CREG), .MREG(MREG), .PREG(PREG),
        .CONTROL(ALUMODEREG + CARRYINREG + CARRYINSELREG + INMODEREG + OPMODEREG)
    ) core (
        .CLK(CLK), .A(A), .B(B), .C(C), .PCIN(PCIN), .OPMODE(OPMODE[6:0]), .W(OPMODE[8:7]),
        .OTHER({ALUMODE, INMODE, CARRYINSEL, CARRYIN}),
        .CEA1(CEA1), .CEA2(CEA2), .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC), .CEM(CEM), .CEP(CEP),
        .RSTA(RSTA), .RSTB(RSTB), .RSTC(RSTC), .RSTM(RSTM), .RSTP(RSTP), .P(P)
    );
    assign PCOUT = P;
endmodule

module dsp48_core #(
    parameter integer OPERAND = 25, AREG = 1, BREG = 1, CREG = 1, MREG = 1, PREG = 1, CONTROL = 0
) (
    input CLK,
    input [29:0] A, input [17:0] B, input [47:0] C, PCIN, input [6:0] OPMODE, input [1:0] W,
    input [12:0] OTHER,
    input CEA1, CEA2, CEB1, CEB2, CEC, CEM, CEP, RSTA, RSTB, RSTC, RSTM, RSTP,
    output [47:0] P
);
    initial begin
        if (CONTROL != 0) `REFUSE("DSP48: registers of control inputs are not modelled");
    end
    always @(posedge CLK) begin
        // X and Y together are the product; Z is zero, PCIN or C; ALU and pre-adder as after reset.
        if (OPMODE[3:0] != 4'b0101 || OTHER != 0 || W != 0
            || (OPMODE[6:4] != 3'b000 && OPMODE[6:4] != 3'b001 && OPMODE[6:4] != 3'b011
                && (OPMODE[6:4] != 3'b010 || PREG == 0)))
            `REFUSE("DSP48: this operation is not modelled");
    end

    reg [29:0] a1 = 0, a2 = 0;
    reg [17:0] b1 = 0, b2 = 0;
    reg [47:0] c1 = 0, p1 = 0;
    reg signed [OPERAND + 17:0] m1 = 0;
    // One register of A or B is the second one: CEA2, CEB2.
    wire [29:0] a = AREG == 0 ? A : a2;
    wire [17:0] b = BREG == 0 ? B : b2;
    wire [47:0] c = CREG == 0 ? C : c1;
    wire signed [OPERAND + 17:0] product = $signed(a[OPERAND-1:0]) * $signed(b);
    wire signed [OPERAND + 17:0] m = MREG == 0 ? product : m1;
    wire signed [47:0] wide = m;
    wire [47:0] z = OPMODE[6:4] == 3'b001 ? PCIN : OPMODE[6:4] == 3'b011 ? c
        : OPMODE[6:4] == 3'b010 ? p1 : 48'd0;
    wire [47:0] sum = z + wide;
    assign P = PREG == 0 ? sum : p1;

    always @(posedge CLK) begin
        if (RSTA) begin a1 <= 0; a2 <= 0; end
        else begin
            if (CEA1) a1 <= A;
            if (CEA2) a2 <= AREG == 2 ? a1 : A;
        end
        if (RSTB) begin b1 <= 0; b2 <= 0; end
        else begin
            if (CEB1) b1 <= B;
            if (CEB2) b2 <= BREG == 2 ? b1 : B;
        end
        if (RSTC) c1 <= 0; else if (CEC) c1 <= C;
        if (RSTM) m1 <= 0; else if (CEM) m1 <= product;
        if (RSTP) p1 <= 0; else if (CEP) p1 <= sum;
    end
endmodule
