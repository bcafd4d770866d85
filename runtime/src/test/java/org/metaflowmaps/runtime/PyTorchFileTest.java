package org.metaflowmaps.runtime;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.PyTorchSamples.file;
import static org.metaflowmaps.runtime.PyTorchSamples.floats;
import static org.metaflowmaps.runtime.PyTorchSamples.sizes;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.PyTorchSamples.Pickle;

/** What a file of torch.save means, and what of it is refused. */
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

    /** A dict as training scripts write it: state dicts with attributes, optimiser state by number, settings, and nothing else. */
    @Test
    void nestedDictsBecomeNamesAndTexts() throws IOException {
        Pickle pickle = new Pickle(2).items();
        pickle.text("ema").orderedDict().op('q', 0).op('(').text("a.weight").tensor("FloatStorage", "0", 6, 0, sizes(2, 3), 3, 1)
                .text("a.bias").global("torch._utils", "_rebuild_parameter").tensor("FloatStorage", "1", 1, 0, sizes()).op(0x88)
                .orderedDict()
                .op(0x87, 'R').op('u');
        pickle.items().text("_metadata").orderedDict().endItems().op('b');
        pickle.text("opt").items().text("state").items().number(0).items().text("step").number(12).text("exp_avg")
                .tensor("DoubleStorage", "2", 1, 0, sizes(1), 1).endItems().endItems();
        pickle.text("param_groups").op(']').items().text("lr").real(1e-4).text("betas").tuple(1, 2).text("on").op(0x88).text("off").op('N')
                .text("params").op(']', '(').number(0).number(1).op('e').endItems().op('a').endItems();
        pickle.text("best").op('h', 0).text("note").text("caf\u00e9").text("count").long64(1L << 40).endItems();
        try (PyTorchFile file = open(pickle, Map.of("0", floats(1, 2, 3, 4, 5, 6), "1", floats(7), "2", ByteBuffer.allocate(8).array()))) {
            assertEquals(List.of("ema.a.weight", "ema.a.bias", "opt.state.0.exp_avg", "best.a.weight", "best.a.bias"),
                    List.copyOf(file.entries().keySet()));
            assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, values(file, "ema.a.weight"));
            assertArrayEquals(new float[] {7}, values(file, "best.a.bias"));
            assertEquals(List.of(), entry(file, "ema.a.bias").shape());
            assertEquals(List.of(2L, 3L), entry(file, "ema.a.weight").shape());
            assertEquals(24, entry(file, "ema.a.weight").byteSize());
            assertEquals(DType.FLOAT64, entry(file, "opt.state.0.exp_avg").dtype());
            assertEquals(Map.of("opt.state.0.step", "12", "opt.param_groups.0.lr", "1.0E-4", "opt.param_groups.0.on", "true",
                    "note", "caf\u00e9", "count", "1099511627776"), file.metadata());
            assertThrows(IllegalArgumentException.class, () -> file.view("a.weight"));
        }
    }

    @Test
    void everyTypeOfStorageIsKnown() throws IOException {
        Map<String, DType> types = Map.of("ByteStorage", DType.UINT8, "CharStorage", DType.INT8, "ShortStorage", DType.INT16, "IntStorage",
                DType.INT32, "LongStorage", DType.INT64, "HalfStorage", DType.FLOAT16, "FloatStorage", DType.FLOAT32, "DoubleStorage",
                DType.FLOAT64, "BoolStorage", DType.BOOL, "BFloat16Storage", DType.BFLOAT16);
        assertEquals(DType.values().length, types.size());
        for (Map.Entry<String, DType> type : types.entrySet()) {
            Pickle pickle = new Pickle(2).items().text("t").tensor(type.getKey(), "0", 2, 1, sizes(1), 1).endItems();
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
        Pickle pickle = new Pickle(2).items().text("whole").tensor("FloatStorage", "0", 8, 0, sizes(2, 4), 4, 1).text("transposed")
                .tensor("FloatStorage", "0", 8, 0, sizes(4, 2), 1, 4).text("odd").tensor("FloatStorage", "0", 8, 1, sizes(4), 2)
                .text("one").tensor("FloatStorage", "0", 8, 6, sizes(1, 1), 100, 7).text("none")
                .tensor("FloatStorage", "1", 0, 0, sizes(0, 3), 3, 1)
                .endItems();
        byte[] before = file(pickle.stop(), Map.of("0", floats(0, 1, 2, 3, 4, 5, 6, 7), "1", new byte[0]));
        Path path = write(before);
        try (PyTorchFile file = PyTorchFile.open(path);
                TensorScope scope = TensorScope.open()) {
            assertArrayEquals(new float[] {0, 4, 1, 5, 2, 6, 3, 7}, values(file, "transposed"));
            assertArrayEquals(new float[] {1, 3, 5, 7}, values(file, "odd"));
            assertArrayEquals(new float[] {6}, values(file, "one"));
            assertArrayEquals(new long[] {0, 3}, file.view("none").shape());
            // All lie on the same memory, which is a copy on write of the file's.
            Tensor whole = file.view("whole");
            Tensor transposed = file.view("transposed");
            transposed.select(0, 3).fill_(-1);
            assertArrayEquals(new float[] {0, 1, 2, -1, 4, 5, 6, -1}, whole.toFloatArray());
            assertEquals(whole.segment().address() + 24, file.view("one").segment().address());
            assertArrayEquals(new float[] {1, -1, 5, -1}, values(file, "odd"));
        }
        assertArrayEquals(before, Files.readAllBytes(path));
    }

    @Test
    void storagesAtCrookedAddressesAreCopied() throws IOException {
        byte[] pickle = new Pickle(2).items().text("t").tensor("FloatStorage", "0", 4, 1, sizes(3), 1).text("s")
                .tensor("FloatStorage", "0", 4, 0, sizes(2), 2).endItems().stop();
        try (PyTorchFile file = PyTorchFile.open(write(file(pickle, Map.of("0", floats(1, 2, 3, 4)), 3)))) {
            assertEquals(3, entry(file, "s").begin() % 64);
            assertArrayEquals(new float[] {2, 3, 4}, values(file, "t"));
            assertArrayEquals(new float[] {1, 3}, values(file, "s"));
        }
    }

    @Test
    void namesOutsideTheListAreRefusedHoweverTheyAreGiven() throws IOException {
        refuse(new Pickle(2).global("os", "system").text("echo").op(0x85, 'R'), "'os.system'", "refused");
        refuse(new Pickle(2).global("posix", "system").op('.'), "'posix.system'");
        refuse(new Pickle(4).text("os").text("system").op(0x93), "'os.system'");
        refuse(new Pickle(4).text("os").op(0x94).op('0').text("system").op(0x94).op('0').op('h', 0, 'h', 1, 0x93), "'os.system'");
        refuse(new Pickle(0).op('(').text("echo").raw("ios\nsystem\n"), "'os.system'");
        refuse(new Pickle(2).op('(').global("os", "system").text("echo").op('o'), "'os.system'");
        refuse(new Pickle(2).global("os", "system").op(')', 0x81), "'os.system'");
        for (String name : List.of("builtins eval", "builtins getattr", "__builtin__ set", "builtins complex", "builtins bytearray",
                "datetime datetime", "decimal Decimal", "copy_reg _reconstructor", "_codecs encode", "array array", "operator attrgetter",
                "exceptions ValueError", "builtins KeyError", "numpy ndarray", "numpy.core.multiarray scalar", "argparse Namespace",
                "torch load", "torch.storage UntypedStorage", "torch FloatTensor", "torch._utils _rebuild_tensor_v2.__globals__",
                "torch _utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v2 ", "collections OrderedDict.fromkeys", " os system")) {
            int space = name.lastIndexOf(' ');
            String module = name.substring(0, space);
            String last = name.substring(space + 1);
            refuse(new Pickle(2).global(module, last).op(')', 'R'), "'" + module + "." + last + "'", "refused", "torch.save(");
            refuse(new Pickle(4).text(module).text(last).op(0x93), "'" + module + "." + last + "'");
        }
    }

    @Test
    void instructionsThatTensorsDoNotNeedAreRefused() throws IOException {
        for (int code : new int[] {0x82, 0x83, 0x84, 0x92, 0x81, 'o', 'I', 'L', 'F', 'S', 'V', 'P', 'g', 'p', 'd', 'l', '2',
                0x8b, 0x8f, 0x91,
            0x96, 0x97, 0x98, 0xff}) {
            refuse(new Pickle(2).op(code).raw("1\n1\n1\n1\n1\n1\n"), "instruction " + code);
        }
        refuse(new Pickle(2).text("os.system").text("echo").op(0x85, 'R'), "not understood");
        refuse(new Pickle(2).global("torch", "FloatStorage").op(')', 'R'), "not understood");
        refuse(new Pickle(2).global("collections", "OrderedDict").items().endItems().op('b'), "attributes");
        refuse(new Pickle(2).text("x").items().endItems().op('b'), "attributes");
        refuse(new Pickle(2).op(']').text("a").text("b").op('s'), "items for a list");
        refuse(new Pickle(2).items().op(']').text("v").endItems(), "key that is a list");
        refuse(new Pickle(2).op('}').op('q', 0).op('h', 0).text("v").op('s'), "key that is a dict");
    }

    private void refuse(Pickle pickle, String... parts) throws IOException {
        Path path = write(file(pickle.stop(), Map.of("0", floats(1, 2, 3, 4))));
        refuse(path, parts);
    }

    private static void refuse(Path path, String... parts) {
        PyTorchException e = assertThrows(PyTorchException.class, () -> PyTorchFile.open(path).close());
        String message = String.valueOf(e.getMessage());
        assertTrue(message.startsWith(path + ": ") && message.length() < 900, message);
        for (String part : parts) {
            assertTrue(message.contains(part), "'" + message + "' lacks '" + part + "'");
        }
    }

    private void refuseTensor(String type, long elements, long offset, long[] shape, long[] strides, String... parts) throws IOException {
        refuse(new Pickle(2).items().text("t").tensor(type, "0", elements, offset, shape, strides).endItems(), parts);
    }

    @Test
    void tensorsOutsideTheirStorageAreRefused() throws IOException {
        refuseTensor("FloatStorage", 4, 0, sizes(5), sizes(1), "'t'", "does not fit its storage of 4 elements");
        refuseTensor("FloatStorage", 4, 1, sizes(4), sizes(1), "does not fit");
        refuseTensor("FloatStorage", 4, 0, sizes(2), sizes(4), "does not fit");
        refuseTensor("FloatStorage", 4, 0, sizes(5), sizes(0), "does not fit");
        refuseTensor("FloatStorage", 4, -1, sizes(1), sizes(1), "not a whole number");
        refuseTensor("FloatStorage", 4, 0, sizes(-1), sizes(1), "not a whole number");
        refuseTensor("FloatStorage", 4, 0, sizes(2), sizes(-1), "not a whole number");
        refuseTensor("FloatStorage", 4, 0, sizes(2, 2), sizes(1), "strides [1]");
        refuseTensor("FloatStorage", 5, 0, sizes(1), sizes(1), "storage of 16 bytes");
        refuseTensor("DoubleStorage", 4, 0, sizes(1), sizes(1), "storage of 16 bytes");
        long huge = Integer.MAX_VALUE;
        refuseTensor("FloatStorage", 4, 0, sizes(huge, huge, huge), sizes(0, 0, 0), "too many bytes");
        refuseTensor("FloatStorage", 4, 0, new long[65], new long[65], "at most 64");
        refuse(new Pickle(2).items().text("t").global("torch._utils", "_rebuild_tensor_v2").op('(').storage("FloatStorage", "0", 4)
                .long64(Long.MAX_VALUE).tuple(1).tuple(1).op(0x89).orderedDict().op('t', 'R').endItems(), "64-bit");
        refuse(new Pickle(2).items().text("t").tensor("FloatStorage", "9", 4, 0, sizes(1), 1).endItems(), "'data/9' is missing");
        refuse(new Pickle(2).items().text("t").tensor("FloatStorage", "../version", 4, 0, sizes(1), 1).endItems(), "missing");
        refuse(new Pickle(2).items().text("a.b").tensor("FloatStorage", "0", 4, 0, sizes(1), 1).text("a").items().text("b")
                .tensor("FloatStorage", "0", 4, 0, sizes(1), 1).endItems().endItems(), "two tensors are named 'a.b'");
        refuse(new Pickle(2).tensor("FloatStorage", "0", 4, 0, sizes(1), 1), "holds a tensor", "a dict of tensors");
    }

    /** Files that would take all memory or time if one believed them. */
    @Test
    void hostilePicklesEnd() throws IOException {
        refuse(new Pickle(2).op('X').int32(-1), "4294967295 bytes");
        refuse(new Pickle(2).op('X').int32(Integer.MAX_VALUE), "2147483647 bytes");
        refuse(new Pickle(4).op(0x8e).raw("\u007f\u007f\u007f\u007f\u007f\u007f\u007f\u007f"), "bytes");
        refuse(new Pickle(2).op(0x8a, 200), "200 bytes");
        // Holds itself.
        refuse(new Pickle(2).op('}').op('q', 0).text("again").op('h', 0, 's'), "nested too deeply");
        refuse(new Pickle(2).op(']').op('q', 0).op('h', 0, 'a').items().text("x").op('h', 0).endItems(), "nested too deeply");
        // Thirty levels of ten times the level below.
        Pickle doubled = new Pickle(2).items().text("x").op(']').op('q', 0);
        for (int level = 0; level < 28; level++) {
            doubled.op(']', '(');
            for (int i = 0; i < 10; i++) {
                doubled.op('h', level);
            }
            doubled.op('e').op('q', level + 1);
        }
        refuse(doubled.op('t').op('q', 99).op('0').items().text("x").op('h', 28).endItems(), "too often");
        byte[] many = new byte[3_100_000];
        Arrays.fill(many, (byte) ']');
        refuse(write(file(many, Map.of())), "3000000 instructions");
    }

    @Test
    void archivesOfOtherKindsAreRefused() throws IOException {
        byte[] pickle = new Pickle(2).items().text("t").tensor("FloatStorage", "0", 1, 0, sizes(1), 1).endItems().stop();
        refuse(write(new byte[0]), "does not begin as an archive", "1.6");
        refuse(write(new Pickle(2).raw("\u008a\nl\u00fc\u009c").stop()), "does not begin as an archive", "1.6");
        refuse(write("PK".getBytes(UTF_8)), "does not begin as an archive");
        refuse(write("PK\3\4 and nothing else, not at all, but more than twenty-two bytes".getBytes(UTF_8)), "cannot be read");
        refuse(write(PyTorchSamples.zip(Map.of("data.pkl", pickle))), "no NAME/data.pkl");
        refuse(write(PyTorchSamples.zip(Map.of("a/data.pkl", pickle, "b/data.pkl", pickle))), "several NAME/data.pkl");
        refuse(write(PyTorchSamples.zip(Map.of("a/data.pkl", pickle))), "'data/0' is missing");
        refuse(write(PyTorchSamples.zip(Map.of("a/data.pkl", pickle, "a/byteorder", "big".getBytes(UTF_8), "a/data/0",
                floats(1)))), "little-endian");
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
        Path wrongName = Files.write(folder.resolve("weights.safetensors"), file(new Pickle(4).items().endItems().stop(), Map.of()));
        try (TensorFile file = TensorFile.open(wrongName)) {
            assertInstanceOf(PyTorchFile.class, file);
            assertTrue(file.entries().isEmpty());
        }
        Path other = Files.write(folder.resolve("other.pt"), SafetensorsSamples.file("{}", 0));
        assertThrows(PyTorchException.class, () -> TensorFile.open(other).close());
        Path plain = Files.write(folder.resolve("other"), SafetensorsSamples.file("{}", 0));
        try (TensorFile file = TensorFile.open(plain)) {
            assertInstanceOf(SafetensorsFile.class, file);
        }
        assertFalse(TensorFile.isPyTorchName(plain));
    }

    @Test
    void aClosedFileGivesNothing() throws IOException {
        PyTorchFile file = open(new Pickle(2).items().text("t").tensor("FloatStorage", "0", 1, 0, sizes(1), 1).endItems(),
                Map.of("0", floats(1)));
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, () -> file.view("t"));
    }
}
