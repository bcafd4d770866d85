package org.metaflowmaps.runtime.kernel;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** Operations of one compiled program on small operands, compared with the composed ones on the same device. */
final class OperationCheck {
    private static final double EPS = 1e-6;
    private static final int BATCH = 2;
    /** More than the tokens that one block sums, and no multiple of any tile. */
    private static final int TOKENS = 37;

    private static final AtomicInteger CHECKS = new AtomicInteger();

    private final Kernels kernels;
    private final KernelProgram program;
    private final Device device;
    private final List<@Nullable Tensor> fused = new ArrayList<>();
    private final List<@Nullable Tensor> composed = new ArrayList<>();
    /** Differs between checks, so that results left in freed memory by one are wrong for the next. */
    private int waves = 20 * (CHECKS.getAndIncrement() % 50);

    private OperationCheck(Kernels kernels, KernelProgram program, Device device) {
        this.kernels = kernels;
        this.program = program;
        this.device = device;
    }

    /** Returns a truth value of one element: all results of a program are close. */
    static Tensor agrees(Kernels kernels, KernelProgram program, Device device) {
        if (program.name().equals("adam")) {
            return AdamPassCheck.agrees(kernels, device);
        }
        try (Autograd.Mode off = Autograd.noGrad()) {
            OperationCheck check = new OperationCheck(kernels, program, device);
            switch (program.name()) {
                case "norm" -> check.norm();
                case "norm_tangent" -> check.normTangent();
                case "gelu" -> check.gelu();
                case "attention_tangent", "attention_tangent_plain" -> check.attention();
                default -> throw new AssertionError("no check of the kernels of " + program);
            }
            return check.agree();
        }
    }

    private DType type(String constant) {
        return Objects.equals(program.constants().get(constant), "bf16") ? DType.BFLOAT16 : DType.FLOAT32;
    }

    private long number(String constant) {
        return Long.parseLong(Objects.requireNonNull(program.constants().get(constant)));
    }

    /** Returns other values at each call, of a size near 1. */
    private Tensor wave(DType type, long... shape) {
        long count = Arrays.stream(shape).reduce(1, (left, right) -> left * right);
        return Torch.arange(count)
                .to(device)
                .to(DType.FLOAT32)
                .mul(0.7 + 0.3 * waves++)
                .sin()
                .view(shape)
                .to(type);
    }

    private GatedNorm.Input normInput() {
        long width = number("WIDTH");
        Tensor[] rows = rows();
        boolean gated = number("GATED") == 1;
        return new GatedNorm.Input(
                wave(type("STREAM"), BATCH, TOKENS, width),
                gated ? wave(type("BRANCH"), BATCH, TOKENS, width) : null,
                gated ? rows[0] : null,
                rows[1],
                rows[2]);
    }

    private Tensor[] rows() {
        return wave(type("MODULATION"), BATCH, 3 * number("WIDTH")).chunk(3, 1);
    }

    private void norm() {
        GatedNorm.Input input = normInput();
        DType type = type("BRANCH");
        GatedNorm.Output expected = GatedNorm.composed().forward(input, type, EPS);
        add(new GatedNorm(kernels).forward(input, type, EPS), expected);
        Tensor gradient = wave(type, BATCH, TOKENS, number("WIDTH"));
        Tensor past = wave(type("STREAM"), BATCH, TOKENS, number("WIDTH"));
        // Both from the same output, so that differences are not added up.
        add(fused, new GatedNorm(kernels).backward(input, expected, gradient, past));
        add(composed, GatedNorm.composed().backward(input, expected, gradient, past));
    }

    private void add(GatedNorm.Output found, GatedNorm.Output expected) {
        fused.addAll(List.of(found.sum(), found.output(), found.mean(), found.rstd()));
        composed.addAll(List.of(expected.sum(), expected.output(), expected.mean(), expected.rstd()));
    }

    private static void add(List<@Nullable Tensor> list, GatedNorm.Gradients found) {
        list.add(found.stream());
        list.add(found.branch());
        list.add(found.gate());
        list.add(found.shift());
        list.add(found.scale());
    }

    private void normTangent() {
        GatedNorm.Input input = normInput();
        DType type = type("BRANCH");
        GatedNorm.Input along = normInput();
        GatedNormTangent.Direction direction = new GatedNormTangent.Direction(
                along.stream(), along.branch(), along.gate(), along.shift(), along.scale());
        GatedNormTangent.Output found = new GatedNormTangent(kernels).forward(input, direction, type, EPS);
        GatedNormTangent.Output expected = GatedNormTangent.composed().forward(input, direction, type, EPS);
        add(found.value(), expected.value());
        fused.addAll(List.of(found.sum(), found.output()));
        composed.addAll(List.of(expected.sum(), expected.output()));
    }

    private void gelu() {
        Tensor input = wave(type("ELEMENT"), TOKENS, 4 * TOKENS).mul(4);
        Tensor direction = wave(type("ELEMENT"), TOKENS, 4 * TOKENS);
        GeluTangent.Output found = new GeluTangent(kernels).forward(input, direction);
        GeluTangent.Output expected = GeluTangent.composed().forward(input, direction);
        GeluTangent.Output over = new GeluTangent(kernels).forwardOver(input.clone(), direction.clone());
        fused.addAll(List.of(found.value(), found.tangent(), new GeluTangent(kernels).backward(input, direction)));
        fused.addAll(List.of(over.value(), over.tangent()));
        composed.addAll(List.of(expected.value(), expected.tangent(), expected.tangent()));
        composed.addAll(List.of(expected.value(), expected.tangent()));
    }

    private void attention() {
        DType type = program.name().equals("attention_tangent") ? DType.BFLOAT16 : DType.FLOAT32;
        Tensor[] operands = new Tensor[6];
        for (int i = 0; i < operands.length; i++) {
            operands[i] = wave(type, BATCH, 3, TOKENS, number("HEAD"));
        }
        // In float32, because products of rounded operands would differ from the log-sum-exp.
        Tensor scores = operands[0]
                .to(DType.FLOAT32)
                .matmul(operands[1].to(DType.FLOAT32).transpose(-2, -1))
                .mul(1 / Math.sqrt((double) number("HEAD")));
        Tensor output = scores.softmax(-1).matmul(operands[2].to(DType.FLOAT32)).to(type);
        AttentionTangent.Input input =
                new AttentionTangent.Input(operands[0], operands[1], operands[2], output, scores.logsumexp(-1));
        fused.add(new AttentionTangent(kernels).forward(input, operands[3], operands[4], operands[5]));
        composed.add(AttentionTangent.composed().forward(input, operands[3], operands[4], operands[5]));
    }

    private Tensor agree() {
        Tensor agree = Torch.zeros(DType.FLOAT32, device).eq(0);
        for (int i = 0; i < fused.size(); i++) {
            Tensor found = fused.get(i);
            Tensor wanted = composed.get(i);
            if (found != null && wanted != null) {
                // Two roundings to bfloat16, or sums of TOKENS terms in another order.
                double bound = wanted.dtype() == DType.BFLOAT16 || type("BRANCH") == DType.BFLOAT16 ? 2e-2 : 1e-4;
                Tensor exact = wanted.to(DType.FLOAT32);
                Tensor apart = found.to(DType.FLOAT32).sub(exact).abs();
                agree = agree.mul(apart.div(exact.abs().add(1)).max().le(bound));
            }
        }
        return agree;
    }
}
