package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.file.PyTorchSamples.file;
import static org.metaflowmaps.runtime.file.PyTorchSamples.floats;
import static org.metaflowmaps.runtime.file.PyTorchSamples.sizes;

import com.sun.management.ThreadMXBean;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Pickle.Name;
import org.metaflowmaps.runtime.file.PyTorchSamples.Pickle;

/** How files of torch.save are read, and which are rejected. */
class PyTorchFileTest {
    @TempDir
    private Path folder;

    private long live;

    @BeforeEach
    void look() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private Path write(byte[] content) throws IOException {
        return Files.write(folder.resolve("weights.pt"), content);
    }

    private PyTorchFile open(Pickle pickle, Map<String, byte[]> storages) throws IOException {
        return PyTorchFile.open(write(file(pickle.stop(), storages)));
    }

    private static PyTorchFile.Entry entry(PyTorchFile file, String name) {
        return Objects.requireNonNull(file.entries().get(name));
    }

    private static float[] values(TensorFile file, String name) {
        try (TensorScope scope = TensorScope.open()) {
            return file.view(name).toFloatArray();
        }
    }

    /** A dict of a training script: state dicts with attributes, optimiser state by number, and settings. */
    @Test
    void nestedDictsBecomeNamesAndTexts() throws IOException {
        Pickle pickle = new Pickle(2).items();
        pickle.text("ema")
                .orderedDict()
                .op('q', 0)
                .op('(')
                .text("a.weight")
                .tensor("FloatStorage", "0", 6, 0, sizes(2, 3), 3, 1)
                .text("a.bias")
                .global("torch._utils", "_rebuild_parameter")
                .tensor("FloatStorage", "1", 1, 0, sizes())
                .op(0x88)
                .orderedDict()
                .op(0x87, 'R')
                .op('u');
        pickle.items().text("_metadata").orderedDict().endItems().op('b');
        pickle.text("opt")
                .items()
                .text("state")
                .items()
                .number(0)
                .items()
                .text("step")
                .number(12)
                .text("exp_avg")
                .tensor("DoubleStorage", "2", 1, 0, sizes(1), 1)
                .endItems()
                .endItems();
        pickle.text("param_groups")
                .op(']')
                .items()
                .text("lr")
                .real(1e-4)
                .text("betas")
                .tuple(1, 2)
                .text("on")
                .op(0x88)
                .text("off")
                .op('N')
                .text("params")
                .op(']', '(')
                .number(0)
                .number(1)
                .op('e')
                .endItems()
                .op('a')
                .endItems();
        pickle.text("best")
                .op('h', 0)
                .text("note")
                .text("caf\u00e9")
                .text("count")
                .long64(1L << 40)
                .endItems();
        try (PyTorchFile file = open(
                pickle,
                Map.of(
                        "0",
                        floats(1, 2, 3, 4, 5, 6),
                        "1",
                        floats(7),
                        "2",
                        ByteBuffer.allocate(8).array()))) {
            assertEquals(
                    List.of("ema.a.weight", "ema.a.bias", "opt.state.0.exp_avg", "best.a.weight", "best.a.bias"),
                    List.copyOf(file.entries().keySet()));
            assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, values(file, "ema.a.weight"));
            assertArrayEquals(new float[] {7}, values(file, "best.a.bias"));
            assertEquals(Shape.of(), entry(file, "ema.a.bias").shape());
            assertEquals(Shape.of(2, 3), entry(file, "ema.a.weight").shape());
            assertEquals(24, entry(file, "ema.a.weight").byteSize());
            assertEquals(DType.FLOAT64, entry(file, "opt.state.0.exp_avg").dtype());
            assertEquals(
                    Map.of(
                            "opt.state.0.step",
                            "12",
                            "opt.param_groups.0.lr",
                            "1.0E-4",
                            "opt.param_groups.0.on",
                            "true",
                            "note",
                            "caf\u00e9",
                            "count",
                            "1099511627776"),
                    file.metadata());
            assertThrows(IllegalArgumentException.class, () -> file.view("a.weight"));
        }
    }

    @Test
    void everyTypeOfStorageIsKnown() throws IOException {
        Map<String, DType> types = Map.of(
                "ByteStorage",
                DType.UINT8,
                "CharStorage",
                DType.INT8,
                "ShortStorage",
                DType.INT16,
                "IntStorage",
                DType.INT32,
                "LongStorage",
                DType.INT64,
                "HalfStorage",
                DType.FLOAT16,
                "FloatStorage",
                DType.FLOAT32,
                "DoubleStorage",
                DType.FLOAT64,
                "BoolStorage",
                DType.BOOL,
                "BFloat16Storage",
                DType.BFLOAT16);
        assertEquals(DType.values().length, types.size());
        for (Map.Entry<String, DType> type : types.entrySet()) {
            Pickle pickle = new Pickle(2)
                    .items()
                    .text("t")
                    .tensor(type.getKey(), "0", 2, 1, sizes(1), 1)
                    .endItems();
            byte[] zeros = new byte[2 * type.getValue().bytes()];
            try (PyTorchFile file = open(pickle, Map.of("0", zeros))) {
                assertEquals(type.getValue(), entry(file, "t").dtype());
                assertArrayEquals(new float[] {0}, values(file, "t"));
            }
        }
    }

    /** Transposed, with an offset, with gaps, and several on one storage. */
    @Test
    void viewsOfAStorageKeepTheirStrides() throws IOException {
        Pickle pickle = new Pickle(2)
                .items()
                .text("whole")
                .tensor("FloatStorage", "0", 8, 0, sizes(2, 4), 4, 1)
                .text("transposed")
                .tensor("FloatStorage", "0", 8, 0, sizes(4, 2), 1, 4)
                .text("odd")
                .tensor("FloatStorage", "0", 8, 1, sizes(4), 2)
                .text("one")
                .tensor("FloatStorage", "0", 8, 6, sizes(1, 1), 100, 7)
                .text("none")
                .tensor("FloatStorage", "1", 0, 0, sizes(0, 3), 3, 1)
                .endItems();
        byte[] before = file(pickle.stop(), Map.of("0", floats(0, 1, 2, 3, 4, 5, 6, 7), "1", new byte[0]));
        Path path = write(before);
        try (PyTorchFile file = PyTorchFile.open(path);
                TensorScope scope = TensorScope.open()) {
            assertArrayEquals(new float[] {0, 4, 1, 5, 2, 6, 3, 7}, values(file, "transposed"));
            assertArrayEquals(new float[] {1, 3, 5, 7}, values(file, "odd"));
            assertArrayEquals(new float[] {6}, values(file, "one"));
            assertEquals(Shape.of(0, 3), file.view("none").shape());
            // All share the same memory, a copy-on-write mapping of the file.
            Tensor whole = file.view("whole");
            Tensor transposed = file.view("transposed");
            transposed.select(0, 3).fill_(-1);
            assertArrayEquals(new float[] {0, 1, 2, -1, 4, 5, 6, -1}, whole.toFloatArray());
            assertEquals(
                    whole.segment().address() + 24, file.view("one").segment().address());
            assertArrayEquals(new float[] {1, -1, 5, -1}, values(file, "odd"));
        }
        assertArrayEquals(before, Files.readAllBytes(path));
    }

    @Test
    void storagesAtCrookedAddressesAreCopied() throws IOException {
        byte[] pickle = new Pickle(2)
                .items()
                .text("t")
                .tensor("FloatStorage", "0", 4, 1, sizes(3), 1)
                .text("s")
                .tensor("FloatStorage", "0", 4, 0, sizes(2), 2)
                .endItems()
                .stop();
        try (PyTorchFile file = PyTorchFile.open(write(file(pickle, Map.of("0", floats(1, 2, 3, 4)), 3)))) {
            assertEquals(3, entry(file, "s").begin() % 64);
            assertArrayEquals(new float[] {2, 3, 4}, values(file, "t"));
            assertArrayEquals(new float[] {1, 3}, values(file, "s"));
        }
    }

    /** Makes a dict with an object and then a tensor, which is read for any object. */
    private PyTorchFile beside(Consumer<Pickle> thing) throws IOException {
        Pickle pickle = new Pickle(2).items().text("thing");
        thing.accept(pickle);
        return open(
                pickle.text("t").tensor("FloatStorage", "0", 2, 0, sizes(2), 1).endItems(), Map.of("0", floats(3, 4)));
    }

    private void inert(String name, Consumer<Pickle> thing) throws IOException {
        try (PyTorchFile file = beside(thing)) {
            assertEquals(List.of("t"), List.copyOf(file.entries().keySet()));
            assertArrayEquals(new float[] {3, 4}, values(file, "t"));
            assertTrue(
                    file.unreadable().getOrDefault("thing", "").contains("'" + name + "'"),
                    file.unreadable().toString());
            assertThrows(IllegalArgumentException.class, () -> file.view("thing"));
        }
    }

    /** Such names are never looked up or called, for every instruction that makes an object. */
    @Test
    void unknownNamesAreInertHoweverTheyAreGiven() throws IOException {
        inert("os.system", thing -> thing.global("os", "system").text("echo").op(0x85, 'R'));
        inert(
                "os.system",
                thing -> thing.text("os").text("system").op(0x93).text("echo").op(0x85, 'R'));
        inert("os.system", thing -> thing.op('(').text("echo").raw("ios\nsystem\n"));
        inert(
                "os.system",
                thing -> thing.op('(').global("os", "system").text("echo").op('o'));
        inert(
                "os.system",
                thing -> thing.global("os", "system")
                        .op(')', 0x81)
                        .items()
                        .text("state")
                        .number(1)
                        .endItems()
                        .op('b'));
        inert("os.system", thing -> thing.global("os", "system").op(')').op('}').op(0x92));
        inert(
                "os.system",
                thing -> thing.global("os", "system").op(')', 'R').text("x").op(0x85, 'R'));
        inert("extension.7", thing -> thing.op(0x82, 7).op(')', 'R'));
        inert("extension.263", thing -> thing.op(0x83, 7, 1).op(')', 'R'));
        inert("extension.7", thing -> thing.op(0x84, 7, 0, 0, 0).op(')', 'R'));
        inert("persistent identifier", thing -> thing.raw("Pnumber 7\n"));
        inert("persistent identifier", thing -> thing.text("seven").op('Q'));
        for (String name : List.of(
                "builtins eval",
                "builtins getattr",
                "builtins complex",
                "datetime datetime",
                "decimal Decimal",
                "copy_reg _reconstructor",
                "numpy ndarray",
                "numpy.core.multiarray scalar",
                "argparse Namespace",
                "torch load",
                "torch.storage _load_from_bytes",
                "torch FloatTensor",
                "torch._utils _rebuild_tensor_v2.__globals__",
                "torch _utils._rebuild_tensor_v2",
                "torch._utils _rebuild_tensor_v2 ",
                "collections OrderedDict.fromkeys",
                " os system")) {
            int space = name.startsWith(" ") ? name.lastIndexOf(' ') : name.indexOf(' ');
            String module = name.substring(0, space);
            String last = name.substring(space + 1);
            inert(module + "." + last, thing -> thing.global(module, last).op(')', 'R'));
        }
    }

    /** Everything that Python's pickler writes in any protocol: numbers, texts, bytes, sets and the memo. */
    @Test
    void everyInstructionIsUnderstood() throws IOException {
        try (PyTorchFile file = open(
                new Pickle(5)
                        .items()
                        .text("int")
                        .raw("I-70000\n")
                        .text("true")
                        .raw("I01\n")
                        .text("long")
                        .raw("L1099511627776L\n")
                        .text("huge")
                        .raw("L" + "9".repeat(50) + "L\n")
                        .text("huge4")
                        .op(0x8b, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
                        .text("float")
                        .raw("F-inf\n")
                        .text("short")
                        .op('M', 1, 2)
                        .text("old")
                        .raw("S'old'\n")
                        .text("older")
                        .op('U', 2)
                        .raw("ab")
                        .text("oldest")
                        .op('T')
                        .int32(2)
                        .raw("cd")
                        .text("unicode")
                        .raw("Vlines\n")
                        .text("new")
                        .op(0x8c, 3)
                        .raw("new")
                        .text("bytes")
                        .op('C', 2)
                        .raw("..")
                        .text("array")
                        .op(0x96, 2, 0, 0, 0, 0, 0, 0, 0)
                        .raw("..")
                        .op(0x98)
                        .text("set")
                        .op(0x8f)
                        .op('(')
                        .number(1)
                        .number(2)
                        .op(0x90)
                        .text("frozen")
                        .op('(')
                        .number(1)
                        .op(0x91)
                        .text("list")
                        .op('(')
                        .number(1)
                        .op('l')
                        .text("dict")
                        .op('(')
                        .text("inner")
                        .number(5)
                        .op('d')
                        .text("frame")
                        .op(0x95, 9, 0, 0, 0, 0, 0, 0, 0)
                        .number(6)
                        .text("twice")
                        .number(7)
                        .op('2', '0')
                        .text("memo")
                        .number(8)
                        .raw("p5\n")
                        .op('0')
                        .raw("g5\n")
                        .text("memo4")
                        .op('h', 5)
                        .op('r', 7, 0, 0, 0)
                        .op('0', 'j', 7, 0, 0, 0)
                        .text("dropped")
                        .op('(')
                        .number(1)
                        .op('1')
                        .number(9)
                        .tuple(1, 2)
                        .number(10)
                        .endItems(),
                Map.of())) {
            assertEquals(
                    Map.ofEntries(
                            Map.entry("int", "-70000"),
                            Map.entry("true", "true"),
                            Map.entry("long", "1099511627776"),
                            Map.entry("float", "-Infinity"),
                            Map.entry("short", "513"),
                            Map.entry("old", "old"),
                            Map.entry("older", "ab"),
                            Map.entry("oldest", "cd"),
                            Map.entry("unicode", "lines"),
                            Map.entry("new", "new"),
                            Map.entry("dict.inner", "5"),
                            Map.entry("frame", "6"),
                            Map.entry("twice", "7"),
                            Map.entry("memo", "8"),
                            Map.entry("memo4", "8"),
                            Map.entry("dropped", "9"),
                            Map.entry("1.2", "10")),
                    file.metadata());
        }
        refuse(new Pickle(5).op(0x97), "buffers outside the file");
        refuse(new Pickle(6), "protocol 6");
        refuse(new Pickle(2).op(0xff), "instruction 255");
        refuse(new Pickle(2).text("os.system").text("echo").op(0x85, 'R'), "not understood");
        refuse(new Pickle(2).text("x").items().endItems().op('b'), "attributes");
        refuse(new Pickle(2).op(']').text("a").text("b").op('s'), "items for a list");
        refuse(new Pickle(2).op('}', '}', 'a'), "elements for a dict");
        refuse(new Pickle(2).op('t'), "no mark");
        refuse(new Pickle(2).op('h', 1), "nothing was remembered as 1");
    }

    /** Unsupported types and kinds of tensors cause an error only when they are read. */
    @Test
    void tensorsThatAreNotSupportedAreNamedWithACure() throws IOException {
        inertTensor("ComplexFloatStorage", thing -> thing.tensor("ComplexFloatStorage", "0", 1, 0, sizes(1), 1));
        inertTensor("float8_e4m3fn", thing -> typed(thing, "float8_e4m3fn"));
        inertTensor("uint16", thing -> typed(thing, "uint16"));
        inertTensor(
                "to_dense()",
                thing -> thing.global("torch._utils", "_rebuild_sparse_tensor").op(')', 'R'));
        inertTensor(
                "dequantize()",
                thing -> thing.global("torch._utils", "_rebuild_qtensor").op(')', 'R'));
        inertTensor(
                "from_numpy",
                thing -> thing.global("numpy._core.multiarray", "_reconstruct").op(')', 'R'));
        inertTensor(
                "'meta'",
                thing -> thing.global("torch._utils", "_rebuild_meta_tensor_no_storage")
                        .op('(')
                        .global("torch", "float32")
                        .tuple(2)
                        .tuple(1)
                        .op(0x89, 't', 'R'));
        inertTensor(
                "'meta'",
                thing -> thing.global("torch._utils", "_rebuild_tensor_v2")
                        .op('(', '(')
                        .text("storage")
                        .global("torch", "FloatStorage")
                        .text("9")
                        .text("meta")
                        .number(4)
                        .op('t', 'Q')
                        .number(0)
                        .tuple(4)
                        .tuple(1)
                        .op(0x89)
                        .orderedDict()
                        .op('t', 'R'));
        inertTensor(
                "'mine.Tensor'",
                thing -> thing.global("torch._tensor", "_rebuild_from_type_v2")
                        .op('(')
                        .global("torch._utils", "_rebuild_tensor_v2")
                        .global("mine", "Tensor")
                        .tuple()
                        .op('}', 't', 'R'));
        try (PyTorchFile file = open(
                new Pickle(2)
                        .items()
                        .text("a.b")
                        .tensor("FloatStorage", "0", 2, 0, sizes(1), 1)
                        .text("a")
                        .items()
                        .text("b")
                        .tensor("FloatStorage", "0", 2, 1, sizes(1), 1)
                        .endItems()
                        .endItems(),
                Map.of("0", floats(1, 2)))) {
            assertTrue(file.entries().isEmpty()
                    && file.unreadable().getOrDefault("a.b", "").contains("two tensors"));
        }
    }

    private static void typed(Pickle pickle, String type) {
        untyped(pickle, type, 8, 0, 2);
    }

    private static void untyped(Pickle pickle, String type, long bytes, long offset, long size) {
        pickle.global("torch._utils", "_rebuild_tensor_v3")
                .op('(', '(')
                .text("storage")
                .global("torch.storage", "UntypedStorage")
                .text("0")
                .text("cuda:1")
                .number(bytes)
                .op('t', 'Q')
                .number(offset)
                .tuple(size)
                .tuple(1)
                .op(0x89)
                .orderedDict()
                .global("torch", type)
                .op('t', 'R');
    }

    private void inertTensor(String why, Consumer<Pickle> thing) throws IOException {
        try (PyTorchFile file = beside(thing)) {
            assertArrayEquals(new float[] {3, 4}, values(file, "t"));
            assertTrue(
                    file.unreadable().getOrDefault("thing", "").contains(why),
                    file.unreadable().toString());
        }
    }

    /** The other ways in which PyTorch writes a tensor. */
    @Test
    void everyWayToRebuildATensorIsKnown() throws IOException {
        Pickle pickle = new Pickle(2).items().text("untyped");
        untyped(pickle, "float32", 16, 1, 2);
        pickle.text("first")
                .global("torch._utils", "_rebuild_tensor")
                .op('(')
                .storage("FloatStorage", "0", 4)
                .number(0)
                .tuple(2)
                .tuple(1)
                .op('t', 'R');
        pickle.text("repeated").tensor("FloatStorage", "0", 4, 3, sizes(2, 2), 0, 0);
        pickle.text("negated")
                .global("torch._utils", "_rebuild_tensor_v2")
                .op('(')
                .storage("FloatStorage", "0", 4)
                .number(0)
                .tuple(2)
                .tuple(1)
                .op(0x89)
                .orderedDict()
                .items()
                .text("neg")
                .op(0x88)
                .endItems()
                .op('t', 'R');
        pickle.text("subclass")
                .global("torch._tensor", "_rebuild_from_type_v2")
                .op('(')
                .global("torch._utils", "_rebuild_tensor_v2")
                .global("torch.nn.parameter", "Parameter")
                .op('(')
                .storage("FloatStorage", "0", 4)
                .number(2)
                .tuple(1)
                .tuple(1)
                .op(0x89)
                .orderedDict()
                .op('t')
                .op('}', 't', 'R');
        pickle.text("state")
                .global("torch._utils", "_rebuild_parameter_with_state")
                .op('(')
                .tensor("FloatStorage", "0", 4, 1, sizes(1), 1)
                .op(0x88)
                .orderedDict()
                .op('}', 't', 'R');
        try (PyTorchFile file = open(pickle.endItems(), Map.of("0", floats(1, 2, 3, 4)))) {
            assertEquals(Map.of(), file.unreadable());
            assertArrayEquals(new float[] {2, 3}, values(file, "untyped"));
            assertArrayEquals(new float[] {1, 2}, values(file, "first"));
            assertArrayEquals(new float[] {4, 4, 4, 4}, values(file, "repeated"));
            assertArrayEquals(new float[] {-1, -2}, values(file, "negated"));
            assertArrayEquals(new float[] {3}, values(file, "subclass"));
            assertArrayEquals(new float[] {2}, values(file, "state"));
        }
    }

    /** A whole saved module: its tensors have the names of its state dict. */
    @Test
    void modulesAreReadByTheirState() throws IOException {
        Pickle pickle = new Pickle(2)
                .items()
                .text("model")
                .global("mine", "Net")
                .op(')', 0x81)
                .op('q', 9)
                .items()
                .text("_parameters")
                .orderedDict()
                .op('(')
                .text("w")
                .tensor("FloatStorage", "0", 2, 0, sizes(1), 1)
                .text("none")
                .op('N')
                .op('u')
                .text("_buffers")
                .items()
                .text("b")
                .tensor("FloatStorage", "0", 2, 1, sizes(1), 1)
                .endItems()
                .text("_modules")
                .items()
                .text("inner")
                .global("torch.nn.modules.linear", "Linear")
                .op(')', 0x81)
                .items()
                .text("_parameters")
                .items()
                .text("weight")
                .tensor("FloatStorage", "0", 2, 0, sizes(2), 1)
                .endItems()
                .text("_buffers")
                .op('}')
                .text("_modules")
                .op('}')
                .text("in_features")
                .number(2)
                .endItems()
                .op('b')
                .endItems()
                .text("parent")
                .op('h', 9)
                .endItems()
                .op('b')
                .endItems();
        try (PyTorchFile file = open(pickle, Map.of("0", floats(1, 2)))) {
            assertEquals(
                    Set.of("model.w", "model.b", "model.inner.weight"),
                    file.entries().keySet());
            assertArrayEquals(new float[] {1, 2}, values(file, "model.inner.weight"));
        }
    }

    private void refuse(Pickle pickle, String... parts) throws IOException {
        Path path = write(file(pickle.stop(), Map.of("0", floats(1, 2, 3, 4))));
        refuse(path, parts);
    }

    private static void refuse(Path path, String... parts) {
        PyTorchException e = assertThrows(
                PyTorchException.class, () -> PyTorchFile.open(path).close());
        String message = String.valueOf(e.getMessage());
        assertTrue(message.startsWith(path + ": ") && message.length() < 900, message);
        for (String part : parts) {
            assertTrue(message.contains(part), "'" + message + "' lacks '" + part + "'");
        }
    }

    private void refuseTensor(String type, long elements, long offset, long[] shape, long[] strides, String... parts)
            throws IOException {
        refuse(
                new Pickle(2)
                        .items()
                        .text("t")
                        .tensor(type, "0", elements, offset, shape, strides)
                        .endItems(),
                parts);
    }

    @Test
    void tensorsOutsideTheirStorageAreRefused() throws IOException {
        refuseTensor("FloatStorage", 4, 0, sizes(5), sizes(1), "'t'", "does not fit its storage of 4 elements");
        refuseTensor("FloatStorage", 4, 1, sizes(4), sizes(1), "does not fit");
        refuseTensor("FloatStorage", 4, 0, sizes(2), sizes(4), "does not fit");
        // The last element's offset does not fit in 64 bits, although each stride does.
        refuseTensor("FloatStorage", 4, 0, sizes(2), sizes(Integer.MAX_VALUE), "does not fit");
        refuse(
                new Pickle(2)
                        .items()
                        .text("t")
                        .global("torch._utils", "_rebuild_tensor_v2")
                        .op('(')
                        .storage("FloatStorage", "0", 4)
                        .number(0)
                        .tuple(2)
                        .long64(Long.MAX_VALUE)
                        .op(0x85, 0x89)
                        .orderedDict()
                        .op('t', 'R')
                        .endItems(),
                "64-bit");
        refuseTensor("FloatStorage", 4, 0, sizes(70_000_000), sizes(0), "repeats a storage of 16 bytes to 280000000");
        refuseTensor("FloatStorage", 4, -1, sizes(1), sizes(1), "not a whole number");
        refuseTensor("FloatStorage", 4, 0, sizes(-1), sizes(1), "not a whole number");
        refuseTensor("FloatStorage", 4, 0, sizes(2), sizes(-1), "not a whole number");
        refuseTensor("FloatStorage", 4, 0, sizes(2, 2), sizes(1), "strides [1]");
        refuseTensor("FloatStorage", 5, 0, sizes(1), sizes(1), "storage of 16 bytes");
        refuseTensor("DoubleStorage", 4, 0, sizes(1), sizes(1), "storage of 16 bytes");
        long huge = Integer.MAX_VALUE;
        refuseTensor("FloatStorage", 4, 0, sizes(huge, huge, huge), sizes(0, 0, 0), "too many bytes");
        refuseTensor("FloatStorage", 4, 0, new long[65], new long[65], "at most 64");
        refuse(
                new Pickle(2)
                        .items()
                        .text("t")
                        .global("torch._utils", "_rebuild_tensor_v2")
                        .op('(')
                        .storage("FloatStorage", "0", 4)
                        .long64(Long.MAX_VALUE)
                        .tuple(1)
                        .tuple(1)
                        .op(0x89)
                        .orderedDict()
                        .op('t', 'R')
                        .endItems(),
                "64-bit");
        refuse(
                new Pickle(2)
                        .items()
                        .text("t")
                        .tensor("FloatStorage", "9", 4, 0, sizes(1), 1)
                        .endItems(),
                "'data/9' is missing");
        refuse(
                new Pickle(2)
                        .items()
                        .text("t")
                        .tensor("FloatStorage", "../version", 4, 0, sizes(1), 1)
                        .endItems(),
                "missing");
        refuse(new Pickle(2).tensor("FloatStorage", "0", 4, 0, sizes(1), 1), "holds a tensor", "a dict of tensors");
    }

    /** Files that would use all memory or time without limits. */
    @Test
    void hostilePicklesEnd() throws IOException {
        refuse(new Pickle(2).op('X').int32(-1), "4294967295 bytes");
        refuse(new Pickle(2).op('X').int32(Integer.MAX_VALUE), "2147483647 bytes");
        refuse(new Pickle(4).op(0x8e).raw("\u007f\u007f\u007f\u007f\u007f\u007f\u007f\u007f"), "bytes");
        refuse(new Pickle(2).op(0x8a, 200), "200 bytes");
        // Contains itself.
        open(new Pickle(2).op('}').op('q', 0).text("again").op('h', 0, 's'), Map.of())
                .close();
        open(
                        new Pickle(2)
                                .op(']')
                                .op('q', 0)
                                .op('h', 0, 'a')
                                .items()
                                .text("x")
                                .op('h', 0)
                                .endItems(),
                        Map.of())
                .close();
        open(
                        new Pickle(2)
                                .items()
                                .op(')')
                                .op('q', 1)
                                .number(1)
                                .op('h', 1)
                                .number(2)
                                .endItems(),
                        Map.of())
                .close();
        // Thirty levels; each contains the level below ten times.
        Pickle doubled = new Pickle(2).items().text("x").op(']').op('q', 0);
        for (int level = 0; level < 28; level++) {
            doubled.op(']', '(');
            for (int i = 0; i < 10; i++) {
                doubled.op('h', level);
            }
            doubled.op('e').op('q', level + 1);
        }
        refuse(doubled.op('t').op('q', 99).op('0').items().text("x").op('h', 28).endItems(), "too often");
        // A thousand texts under a key of a million characters.
        refuse(
                thousand(new Pickle(2).items().text("k".repeat(1_000_000)).items(), new AtomicInteger())
                        .endItems()
                        .endItems(),
                "too long keys",
                "at most 20000000 characters");
        byte[] many = new byte[3_100_000];
        Arrays.fill(many, (byte) ']');
        refuse(write(file(many, Map.of())), "3000000 objects");
    }

    /** The name a.b twice: once a key with a dot, once a key in a dict. */
    private void twice(Consumer<Pickle> first, Consumer<Pickle> second) throws IOException {
        Pickle pickle = new Pickle(2).items().text("a.b");
        first.accept(pickle);
        pickle.text("a").items().text("b");
        second.accept(pickle);
        try (PyTorchFile file = open(pickle.endItems().endItems(), Map.of("0", floats(1, 2)))) {
            assertEquals(Set.of("a.b"), file.unreadable().keySet());
            assertEquals(Set.of(), file.entries().keySet());
            assertEquals(Map.of(), file.metadata());
            assertThrows(IllegalArgumentException.class, () -> file.view("a.b"));
        }
    }

    @Test
    void anUnreadableNameIsNothingElse() throws IOException {
        Consumer<Pickle> tensor = pickle -> pickle.tensor("FloatStorage", "0", 2, 0, sizes(1), 1);
        Consumer<Pickle> text = pickle -> pickle.text("v");
        List<Consumer<Pickle>> refused = List.of(
                pickle -> pickle.global("os", "system").op(')', 'R'),
                pickle -> typed(pickle, "uint16"),
                pickle -> pickle.global("torch._utils", "_rebuild_meta_tensor_no_storage")
                        .op('(')
                        .global("torch", "float32")
                        .tuple(2)
                        .tuple(1)
                        .op(0x89, 't', 'R'));
        for (Consumer<Pickle> other : refused) {
            for (Consumer<Pickle> good : List.of(tensor, text)) {
                twice(good, other);
                twice(other, good);
            }
        }
    }

    /** A tensor inside that many dicts. */
    private PyTorchFile nested(int dicts) throws IOException {
        Pickle pickle = new Pickle(2);
        for (int i = 0; i < dicts; i++) {
            pickle.items().text("d");
        }
        pickle.tensor("FloatStorage", "0", 2, 0, sizes(2), 1);
        for (int i = 0; i < dicts; i++) {
            pickle.endItems();
        }
        return open(pickle, Map.of("0", floats(1, 2)));
    }

    @Test
    void whatIsNestedTooDeeplyIsListed() throws IOException {
        try (PyTorchFile file = nested(65)) {
            assertEquals(
                    List.of("d" + ".d".repeat(64)), List.copyOf(file.entries().keySet()));
            assertEquals(Map.of(), file.unreadable());
        }
        try (PyTorchFile file = nested(70)) {
            assertEquals(Map.of(), file.entries());
            String name = "d" + ".d".repeat(64);
            assertEquals(Set.of(name), file.unreadable().keySet());
            IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, () -> file.view(name));
            assertTrue(String.valueOf(refused.getMessage()).contains("more than 64 dicts"), refused.getMessage());
        }
        // Also inside objects, whose inner structure is not a dict of the file.
        Pickle pickle = new Pickle(2).items().text("o").global("mine", "Thing").op(')', 0x81);
        for (int i = 0; i < 70; i++) {
            pickle.items().text("d");
        }
        pickle.tensor("FloatStorage", "0", 2, 0, sizes(2), 1);
        for (int i = 0; i < 70; i++) {
            pickle.endItems();
        }
        try (PyTorchFile file = open(pickle.op('b').endItems(), Map.of("0", floats(1, 2)))) {
            assertEquals(Map.of(), file.entries());
            assertEquals(Set.of("o", "o" + ".d".repeat(64)), file.unreadable().keySet());
        }
    }

    private static Pickle thousand(Pickle pickle, AtomicInteger next) {
        for (int i = 0; i < 1000; i++) {
            pickle.number(next.getAndIncrement()).text("v");
        }
        return pickle;
    }

    @Test
    void keysThatAreTuplesOrNamesHaveShortTexts() throws IOException {
        String huge = "k".repeat(1_000_000);
        Pickle pickle = new Pickle(2).items().text(huge).op('q', 0, 0x85).number(1);
        // Four levels; each contains the level below ten times.
        pickle.op('h', 0);
        for (int level = 0; level < 4; level++) {
            pickle.op('q', 1, '0', '(');
            for (int i = 0; i < 10; i++) {
                pickle.op('h', 1);
            }
            pickle.op('t');
        }
        pickle.number(2)
                .global(huge, huge)
                .number(3)
                .global("mine", "Key")
                .op('h', 0, 0x85, 'R')
                .number(4);
        try (PyTorchFile file = open(pickle.endItems(), Map.of())) {
            assertEquals(
                    List.of("1", "2", "3", "4"), List.copyOf(file.metadata().values()));
            assertEquals(
                    List.of(1003, 1003, 103, 1003),
                    file.metadata().keySet().stream().map(String::length).toList());
        }
    }

    /** A name of two million characters costs a hundred each time it is shown. */
    @Test
    void longNamesAreCutBeforeTheyAreJoined() {
        Name name = new Name("m".repeat(1_000_000), "n".repeat(1_000_000));
        ThreadMXBean memory = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        String text = name.toString();
        long before = memory.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 20; i++) {
            assertEquals(text, name.toString());
        }
        long used = memory.getCurrentThreadAllocatedBytes() - before;
        assertTrue(used < 1_000_000, used + " bytes for 20 texts");
        assertEquals("m".repeat(100) + "...", text);
        assertEquals("os.system", new Name("os", "system").toString());
        assertEquals("m".repeat(99) + "....", new Name("m".repeat(99), "n").toString());
    }

    @Test
    void aRebuildInsideItselfIsInert() throws IOException {
        inert("torch._tensor._rebuild_from_type_v2", thing -> {
            thing.global("torch._tensor", "_rebuild_from_type_v2")
                    .op('r')
                    .int32(0)
                    .global("torch", "Tensor")
                    .op('r')
                    .int32(1)
                    .op('0', '0')
                    .op(')');
            for (int i = 0; i < 100_000; i++) {
                thing.op('r').int32(2).op('0', '(', 'h', 0, 'h', 1, 'h', 2, '}', 't');
            }
            thing.op('r').int32(2).op('0', 'h', 0, 'h', 2, 'R');
        });
        inert(
                "builtins.list",
                thing -> thing.global("torch._tensor", "_rebuild_from_type_v2")
                        .op('(')
                        .global("builtins", "list")
                        .global("torch", "Tensor")
                        .op(')', '}', 't', 'R'));
    }

    private static Pickle thousand(Pickle pickle, Consumer<Pickle> element) {
        pickle.op('(');
        for (int i = 0; i < 1000; i++) {
            element.accept(pickle);
        }
        return pickle;
    }

    /**
     * Each call copies a container of a thousand elements: a thousand calls in a few kilobytes would copy a million.
     */
    private Pickle copies(Consumer<Pickle> container, String module, String name) {
        Pickle pickle = new Pickle(2).items().text("x");
        container.accept(pickle);
        pickle.op('q', 0).text("y").global(module, name).op('q', 1).text("z").op(']');
        return thousand(pickle, each -> each.op('h', 1, 'h', 0, 0x85, 'R'))
                .op('e')
                .endItems();
    }

    @Test
    void copiesOfContainersAreBoundedByTheFile() throws IOException {
        Consumer<Pickle> list =
                pickle -> thousand(pickle.op(']'), each -> each.op('N')).op('e');
        Consumer<Pickle> pairs = pickle ->
                thousand(pickle.op(']'), each -> each.number(1).op('N', 0x86)).op('e');
        Consumer<Pickle> dict = pickle -> {
            pickle.items();
            for (int i = 0; i < 1000; i++) {
                pickle.number(i).op('N');
            }
            pickle.endItems();
        };
        for (String name : List.of("list", "set", "frozenset")) {
            refuse(copies(list, "builtins", name), "calls copy more than");
        }
        refuse(copies(dict, "builtins", "dict"), "calls copy more than");
        for (String name : List.of("OrderedDict", "Counter", "defaultdict")) {
            refuse(copies(dict, "collections", name), "calls copy more than");
            refuse(copies(pairs, "collections", name), "calls copy more than");
        }
        // One copy of each container is what real files have.
        try (PyTorchFile file = open(
                new Pickle(2)
                        .items()
                        .text("x")
                        .global("collections", "OrderedDict")
                        .op(']', '(', ']', '(')
                        .text("k")
                        .number(1)
                        .op('e', 'e')
                        .op(0x85, 'R')
                        .endItems(),
                Map.of())) {
            assertEquals(Map.of("x.k", "1"), file.metadata());
        }
    }

    @Test
    void archivesOfOtherKindsAreRefused() throws IOException {
        byte[] pickle = new Pickle(2)
                .items()
                .text("t")
                .tensor("FloatStorage", "0", 1, 0, sizes(1), 1)
                .endItems()
                .stop();
        refuse(write(new byte[0]), "is empty");
        refuse(write(new Pickle(2).raw("a pickle of another program").stop()), "a plain pickle", "torch.save");
        refuse(write("PK".getBytes(UTF_8)), "does not begin as an archive");
        refuse(
                write("PK\3\4 and nothing else, not at all, but more than twenty-two bytes".getBytes(UTF_8)),
                "cannot be read");
        refuse(write(PyTorchSamples.zip(Map.of("data.pkl", pickle))), "no NAME/data.pkl");
        refuse(write(PyTorchSamples.zip(Map.of("a/data.pkl", pickle, "b/data.pkl", pickle))), "several NAME/data.pkl");
        refuse(write(PyTorchSamples.zip(Map.of("a/data.pkl", pickle))), "'data/0' is missing");
        refuse(
                write(PyTorchSamples.zip(
                        Map.of("a/data.pkl", pickle, "a/byteorder", "middle".getBytes(UTF_8), "a/data/0", floats(1)))),
                "'middle'");
        refuse(
                write(PyTorchSamples.zip(
                        Map.of("a/data.pkl", pickle, "a/constants.pkl", pickle, "a/data/0", floats(1)))),
                "TorchScript",
                "torch.jit.load");
        refuse(write(PyTorchSamples.zip(Map.of("b/weights.npy", floats(1)))), "NumPy");
        refuse(write(PyTorchSamples.zip(Map.of("b/model.safetensors", floats(1)))), "'b/model.safetensors'", "unzip");
        byte[] turned = {0x3f, (byte) 0x80, 0, 0};
        try (PyTorchFile big = PyTorchFile.open(write(PyTorchSamples.zip(
                Map.of("a/data.pkl", pickle, "a/byteorder", "big".getBytes(UTF_8), "a/data/0", turned))))) {
            assertArrayEquals(new float[] {1}, values(big, "t"));
        }
        byte[] twice = PyTorchSamples.zip(Map.of("a/data.pkl", pickle, "a/data/0", floats(1), "a/data/1", floats(1)));
        for (int i = 0; i < twice.length - 8; i++) {
            if (new String(twice, i, 8, UTF_8).equals("a/data/1")) {
                twice[i + 7] = '0';
            }
        }
        refuse(write(twice), "two records 'a/data/0'");
        ByteArrayOutputStream compressed = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(compressed)) {
            zip.putNextEntry(new ZipEntry("a/data.pkl"));
            zip.write(pickle);
        }
        refuse(write(compressed.toByteArray()), "'data.pkl' is compressed", "zip -0");
        assertThrows(IOException.class, () -> PyTorchFile.open(folder).close());
    }

    @Test
    void eitherFormatIsOpenedByItsContent() throws IOException {
        Path wrongName = Files.write(
                folder.resolve("weights.safetensors"),
                file(new Pickle(4).items().endItems().stop(), Map.of()));
        try (TensorFile file = TensorFile.open(wrongName)) {
            assertInstanceOf(PyTorchFile.class, file);
            assertTrue(file.entries().isEmpty());
        }
        Path other = Files.write(folder.resolve("other.pt"), SafetensorsSamples.file("{}", 0));
        try (TensorFile file = TensorFile.open(other)) {
            assertInstanceOf(SafetensorsFile.class, file);
        }
        Path plain = Files.write(folder.resolve("other"), SafetensorsSamples.file("{}", 0));
        try (TensorFile file = TensorFile.open(plain)) {
            assertInstanceOf(SafetensorsFile.class, file);
        }
        assertFalse(TensorFile.isPyTorchName(plain));
    }

    @Test
    void aClosedFileGivesNothing() throws IOException {
        PyTorchFile file = open(
                new Pickle(2)
                        .items()
                        .text("t")
                        .tensor("FloatStorage", "0", 1, 0, sizes(1), 1)
                        .endItems(),
                Map.of("0", floats(1)));
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, () -> file.view("t"));
    }
}
