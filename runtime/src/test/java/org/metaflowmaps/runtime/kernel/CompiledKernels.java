package org.metaflowmaps.runtime.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.metaflowmaps.bindings.Nvrtc;

/** Registers, spills and shared memory of compiled kernels, from the log of {@code ptxas -v}. */
final class CompiledKernels {
    private static final Pattern KERNEL = Pattern.compile("Compiling entry function '(\\w+)' for '(\\w+)'");
    private static final Pattern SPILLS =
            Pattern.compile("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");
    private static final Pattern REGISTERS = Pattern.compile("Used (\\d+) registers");
    private static final Pattern SHARED = Pattern.compile("(\\d+) bytes smem");

    /** Every kernel, as XL/2 uses it. */
    static final List<KernelProgram> LARGEST = List.of(
            KernelProgram.of("norm", norm("1152", "float", "bf16", "1")),
            KernelProgram.of("norm_tangent", norm("1152", "float", "bf16", "1")),
            KernelProgram.of("adam", Map.of()),
            KernelProgram.of("attention_tangent", Map.of("HEAD", "72")),
            KernelProgram.of("attention_tangent_plain", Map.of("HEAD", "72", "ELEMENT", "float")),
            KernelProgram.of("gelu", Map.of("ELEMENT", "bf16")));

    /** The same for DiT's sizes S, B and L, for other types, and for the limits. */
    static final List<KernelProgram> OTHERS = others();

    private CompiledKernels() {}

    /**
     * What the compiler says of a kernel.
     *
     * @param program its name and constants
     * @param kernel its name
     * @param registers per thread
     * @param stack bytes per thread in memory, for arrays with computed indices
     * @param spilled bytes per thread that registers had no room for, stored and loaded
     * @param shared bytes per block
     */
    record Resources(String program, String kernel, int registers, int stack, int spilled, int shared) {}

    /** Compiles a program and reads the log. */
    static List<Resources> compile(KernelProgram program, String architecture) {
        return parse(program.toString(), program.compile(architecture).log());
    }

    static List<Resources> parse(String program, String log) {
        List<Resources> found = new ArrayList<>();
        Matcher kernel = KERNEL.matcher(log);
        List<Integer> starts = new ArrayList<>();
        List<String> names = new ArrayList<>();
        while (kernel.find()) {
            starts.add(kernel.start());
            names.add(kernel.group(1));
        }
        for (int i = 0; i < starts.size(); i++) {
            String part = log.substring(starts.get(i), i + 1 < starts.size() ? starts.get(i + 1) : log.length());
            int stored = number(SPILLS, 2, part);
            found.add(new Resources(
                    program,
                    names.get(i),
                    number(REGISTERS, 1, part),
                    number(SPILLS, 1, part),
                    stored + number(SPILLS, 3, part),
                    SHARED.matcher(part).find() ? number(SHARED, 1, part) : 0));
        }
        return found;
    }

    private static int number(Pattern pattern, int group, String text) {
        Matcher matcher = pattern.matcher(text);
        if (!matcher.find()) {
            throw new AssertionError("ptxas's log has no '" + pattern + "': " + text);
        }
        return Integer.parseInt(matcher.group(group));
    }

    private static List<KernelProgram> others() {
        List<KernelProgram> programs = new ArrayList<>();
        for (String width : List.of("384", "768", "1024")) {
            for (String name : List.of("norm", "norm_tangent")) {
                programs.add(KernelProgram.of(name, norm(width, "float", "bf16", "1")));
            }
        }
        programs.add(KernelProgram.of("norm", norm("1152", "bf16", "bf16", "1")));
        programs.add(KernelProgram.of("norm", norm("1152", "float", "bf16", "0")));
        programs.add(KernelProgram.of("norm", norm("2048", "float", "float", "1")));
        programs.add(KernelProgram.of("norm_tangent", norm("2048", "float", "float", "1")));
        programs.add(KernelProgram.of("attention_tangent", Map.of("HEAD", "64")));
        programs.add(KernelProgram.of("attention_tangent", Map.of("HEAD", "128")));
        programs.add(KernelProgram.of("gelu", Map.of("ELEMENT", "float")));
        return programs;
    }

    private static Map<String, String> norm(String width, String stream, String branch, String gated) {
        return Map.of("WIDTH", width, "STREAM", stream, "BRANCH", branch, "MODULATION", "float", "GATED", gated);
    }

    /** Prints a table: for each kernel registers by architecture, shared memory, and milliseconds to compile its program. */
    public static void main(String[] architectures) {
        System.out.println("NVRTC " + Nvrtc.version());
        List<KernelProgram> programs = new ArrayList<>(LARGEST);
        programs.addAll(OTHERS);
        for (KernelProgram program : programs) {
            List<List<Resources>> columns = new ArrayList<>();
            long begin = System.nanoTime();
            for (String architecture : architectures) {
                columns.add(compile(program, architecture));
            }
            long milliseconds = (System.nanoTime() - begin) / 1_000_000 / architectures.length;
            for (int kernel = 0; kernel < columns.getFirst().size(); kernel++) {
                List<String> registers = new ArrayList<>();
                int spilled = 0;
                for (List<Resources> column : columns) {
                    registers.add(Integer.toString(column.get(kernel).registers()));
                    spilled += column.get(kernel).spilled();
                }
                Resources first = columns.getFirst().get(kernel);
                System.out.println(first.kernel() + " " + program.constants() + ": registers "
                        + String.join("/", registers) + ", spilled " + spilled + ", shared " + first.shared() + ", "
                        + milliseconds + " ms");
            }
        }
    }
}
